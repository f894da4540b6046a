//! The three kinds of WebSocket: public, private, and order entry.

use super::{
    Codec, ConnId, Outbound, Simex, auth,
    error::ApiError,
    exchange::{OrderOp, text},
    json::{self, Obj, quoted},
    limits::Budget,
    public::Topic,
};
use crate::{
    sim::AccountId,
    types::{Nanos, Product},
};
use serde_json::Value;
use std::collections::VecDeque;

/// What a WebSocket connection is for, and its state.
pub(super) enum Stream {
    Public { product: Product, args_len: usize },
    Private { account: Option<AccountId>, topics: Vec<String> },
    Trade { account: Option<AccountId>, req_ids: VecDeque<String> },
}

impl Stream {
    /// Returns the kind of stream that lives at a path.
    pub fn route(path: &str) -> Option<Self> {
        match path {
            "/v5/private" => Some(Self::Private { account: None, topics: Vec::new() }),
            "/v5/trade" => Some(Self::Trade { account: None, req_ids: VecDeque::new() }),
            _ => {
                let product = Product::from_name(path.strip_prefix("/v5/public/")?)?;
                Some(Self::Public { product, args_len: 0 })
            }
        }
    }
}

impl Simex {
    pub(super) fn on_text(&mut self, id: ConnId, bytes: &[u8], now: Nanos) {
        // Subscriptions send their own answers, since snapshots have to follow them.
        if let Some(answer) = self.answer_text(id, bytes, now) {
            self.send(id, Outbound::Text(answer), now);
        }
    }

    /// Does what a message asks, and returns the answer that is to be sent.
    pub(super) fn answer_text(&mut self, id: ConnId, bytes: &[u8], now: Nanos) -> Option<String> {
        let message: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
        match self.conns.get(&id).map(|conn| &conn.codec) {
            Some(Codec::Ws(_, Stream::Public { product, .. })) => self.on_public(id, *product, &message, now),
            Some(Codec::Ws(_, Stream::Private { account, .. })) => self.on_private(id, *account, &message, now),
            Some(Codec::Ws(_, Stream::Trade { account, .. })) => self.on_trade_message(id, *account, &message, now),
            _ => None,
        }
    }

    fn on_public(&mut self, id: ConnId, product: Product, message: &Value, now: Nanos) -> Option<String> {
        let conn_id = conn_name(id);
        let op = text(message, "op").unwrap_or_default();
        let ack = |success: bool, ret_msg: &str| {
            let ack = Obj::new().raw("success", success).text("ret_msg", ret_msg).text("conn_id", &conn_id);
            with_req_id(ack, message).text("op", op).done()
        };
        match op {
            "ping" => {
                let pong = Obj::new().raw("success", true).text("ret_msg", "pong").text("conn_id", &conn_id);
                let req_id = text(message, "req_id").unwrap_or_default();
                Some(pong.text("req_id", req_id).text("op", "ping").done())
            }
            "subscribe" => {
                let mut topics: Vec<Topic> = Vec::new();
                for name in names(message) {
                    let Some(topic) = self.find_topic(name, product) else {
                        return Some(ack(false, &format!("error:handler not found,topic:{name}")));
                    };
                    let follows = self.followers.get(&topic).is_some_and(|followers| followers.contains(&id));
                    if follows || topics.contains(&topic) {
                        return Some(ack(false, &format!("error:already subscribed,topic:{name}")));
                    }
                    topics.push(topic);
                }
                if product == Product::Spot && topics.len() > SPOT_ARGS_MAX {
                    return Some(ack(false, "error:args size >10"));
                }
                let added: usize = names(message).map(args_len).sum();
                let Some(Stream::Public { args_len, .. }) = self.stream(id) else { return None };
                if *args_len + added > ARGS_LEN_MAX {
                    return Some(ack(false, "error:args length exceeds 21000"));
                }
                *args_len += added;
                let ret_msg = if product == Product::Spot { "subscribe" } else { "" };
                self.send(id, Outbound::Text(ack(true, ret_msg)), now);
                for topic in topics {
                    self.follow(id, topic, now);
                }
                None
            }
            "unsubscribe" => {
                for name in names(message) {
                    let Some(topic) = self.find_topic(name, product) else { continue };
                    if self.unfollow(id, topic)
                        && let Some(Stream::Public { args_len: of_all, .. }) = self.stream(id)
                    {
                        *of_all = of_all.saturating_sub(args_len(name));
                    }
                }
                Some(ack(true, if product == Product::Spot { "unsubscribe" } else { "" }))
            }
            _ => Some(ack(false, "error:unknown op")),
        }
    }

    fn find_topic(&self, name: &str, product: Product) -> Option<Topic> {
        let venue = &self.exchange.venue;
        let of_product = |id| venue.spec(id).is_some_and(|spec| spec.product == product);
        if let Some(capture) = &self.capture
            && let Some(topic @ Topic::Captured(at)) = capture.topic(name)
        {
            return capture.instrument(at).is_none_or(of_product).then_some(topic);
        }
        Topic::parse(name, product, venue)
    }

    fn follow(&mut self, id: ConnId, topic: Topic, now: Nanos) {
        let venue = &self.exchange.venue;
        let first = match (topic, &mut self.capture) {
            (Topic::Captured(at), Some(capture)) => {
                capture.start(now);
                capture.first_frame(at, venue, now)
            }
            _ => self.public.first_frame(venue, topic, now),
        };
        if let Some(frame) = first {
            self.send(id, Outbound::Text(frame), now);
        }
        self.followers.entry(topic).or_default().push(id);
    }

    /// Returns whether it was followed.
    fn unfollow(&mut self, id: ConnId, topic: Topic) -> bool {
        let Some(followers) = self.followers.get_mut(&topic) else { return false };
        let before = followers.len();
        followers.retain(|follower| *follower != id);
        let is_fewer = followers.len() < before;
        if followers.is_empty() {
            self.followers.remove(&topic);
            self.public.stop(topic);
        }
        is_fewer
    }

    fn on_private(&mut self, id: ConnId, account: Option<AccountId>, message: &Value, now: Nanos) -> Option<String> {
        let conn_id = conn_name(id);
        let op = text(message, "op").unwrap_or_default();
        let ack = |success: bool, ret_msg: &str| {
            let ack = with_req_id(Obj::new(), message).raw("success", success).text("ret_msg", ret_msg);
            ack.text("op", op).text("conn_id", &conn_id).done()
        };
        match op {
            "ping" => {
                let time = json::array([quoted(&now.as_millis().to_string())]);
                let pong = with_req_id(Obj::new(), message).text("op", "pong").raw("args", time);
                Some(pong.text("conn_id", &conn_id).done())
            }
            "auth" => match self.authenticate(message, now) {
                Ok(owner) => {
                    if let Some(Stream::Private { account, .. }) = self.stream(id) {
                        *account = Some(owner);
                    }
                    Some(ack(true, ""))
                }
                Err(error) => Some(ack(false, &error.msg)),
            },
            "subscribe" | "unsubscribe" if account.is_none() => Some(ack(false, "Request not authorized")),
            "subscribe" => {
                if let Some(unknown) = names(message).find(|name| !is_private_topic(name)) {
                    return Some(ack(false, &format!("error:handler not found,topic:{unknown}")));
                }
                let Some(Stream::Private { topics, .. }) = self.stream(id) else { return None };
                for name in names(message) {
                    if !topics.iter().any(|topic| topic == name) {
                        topics.push(name.to_owned()); // bounded by the number of topics that exist
                    }
                }
                Some(ack(true, ""))
            }
            "unsubscribe" => {
                let Some(Stream::Private { topics, .. }) = self.stream(id) else { return None };
                topics.retain(|topic| !names(message).any(|name| name == topic));
                Some(ack(true, ""))
            }
            _ => Some(ack(false, "error:unknown op")),
        }
    }

    fn on_trade_message(
        &mut self,
        id: ConnId,
        account: Option<AccountId>,
        message: &Value,
        now: Nanos,
    ) -> Option<String> {
        let op = text(message, "op").unwrap_or_default();
        let reply = |code: i32, msg: &str| {
            with_trade_req_id(Obj::new(), message).raw("retCode", code).text("retMsg", msg).text("op", op)
        };
        let refuse = |error: &ApiError| trade_refusal(id, message, error);
        match op {
            "ping" => {
                let time = json::array([quoted(&now.as_millis().to_string())]);
                let pong =
                    with_trade_req_id(Obj::new(), message).raw("retCode", 0).text("retMsg", "OK").text("op", "pong");
                return Some(pong.raw("data", time).text("connId", conn_name(id)).done());
            }
            "auth" => {
                let (code, msg) = match (account, self.authenticate(message, now)) {
                    (Some(_), _) => (20001, "Repeat auth".to_owned()),
                    (None, Ok(owner)) => {
                        if let Some(Stream::Trade { account, .. }) = self.stream(id) {
                            *account = Some(owner);
                        }
                        (0, "OK".to_owned())
                    }
                    (None, Err(error)) => (error.code, error.msg),
                };
                return Some(reply(code, &msg).text("connId", conn_name(id)).done());
            }
            _ => {}
        }
        let (op_kind, is_batch) = match op {
            "order.create" => (OrderOp::Create, false),
            "order.amend" => (OrderOp::Amend, false),
            "order.cancel" => (OrderOp::Cancel, false),
            "order.create-batch" => (OrderOp::Create, true),
            "order.amend-batch" => (OrderOp::Amend, true),
            "order.cancel-batch" => (OrderOp::Cancel, true),
            _ => return Some(refuse(&ApiError::new(10404, "op type is not found"))),
        };
        let Some(account) = account else {
            return Some(refuse(&ApiError::new(10005, "Permission denied, please check your API key permissions.")));
        };
        if !self.address.admit_trade(now) {
            return Some(refuse(&ApiError::new(10403, "IP rate limit exceeded")));
        }
        let outcome = self.check_request(id, message, now).and_then(|body| {
            if is_batch { self.batch(op_kind, account, body, now) } else { self.single(op_kind, account, body, now) }
        });
        let Done { error, data, ext, budget } = match outcome {
            Ok(done) => done,
            Err(error) => return Some(refuse(&error)),
        };
        let (code, msg) = error.map_or((0, "OK".to_owned()), |error| (error.code, error.msg));
        let mut header = Obj::new();
        if let Some(budget) = budget {
            header = header
                .text("X-Bapi-Limit", budget.limit)
                .text("X-Bapi-Limit-Status", budget.left)
                .text("X-Bapi-Limit-Reset-Timestamp", budget.reset_ms);
        }
        let trace = format!("{:032x}", self.counts.messages_in);
        let header = header.text("Traceid", trace).text("Timenow", now.as_millis()).done();
        let reply = reply(code, &msg).raw("data", data).raw("retExtInfo", ext).raw("header", header);
        Some(reply.text("connId", conn_name(id)).done())
    }

    /// Checks what all order requests share and returns the one object of `args`.
    fn check_request<'a>(&mut self, id: ConnId, message: &'a Value, now: Nanos) -> Result<&'a Value, ApiError> {
        let header = message.get("header").unwrap_or(&Value::Null);
        // The venue's own client sends numbers where its documents want texts.
        let timestamp = number_text(header, "X-BAPI-TIMESTAMP").ok_or_else(|| ApiError::param("X-BAPI-TIMESTAMP"))?;
        auth::check_time(&timestamp, number_text(header, "X-BAPI-RECV-WINDOW").as_deref(), now)?;
        if let Some(req_id) = text(message, "reqId").filter(|req_id| !req_id.is_empty()) {
            if req_id.len() > REQ_ID_BYTES_MAX {
                return Err(ApiError::param("reqId"));
            }
            let Some(Stream::Trade { req_ids, .. }) = self.stream(id) else { return Err(ApiError::param("op")) };
            if req_ids.iter().any(|seen| seen == req_id) {
                return Err(ApiError::new(20006, "Duplicate reqId"));
            }
            if req_ids.len() >= REQ_IDS_MAX {
                req_ids.pop_front();
            }
            req_ids.push_back(req_id.to_owned());
        }
        match message.get("args").and_then(Value::as_array).map(Vec::as_slice) {
            Some([body @ Value::Object(_)]) => Ok(body),
            _ => Err(ApiError::param("args")),
        }
    }

    pub(super) fn single(
        &mut self,
        op: OrderOp,
        account: AccountId,
        body: &Value,
        now: Nanos,
    ) -> Result<Done, ApiError> {
        let (granted, budget) = self.exchange.spend(account, op.kind(false), body, 1, now);
        let outcome = match granted {
            0 => Err(ApiError::new(10006, "Too many visits!")),
            _ => self.exchange.order(op, account, body, now),
        };
        let (error, data) = match outcome {
            Ok(acked) => (None, Obj::new().text("orderId", acked.order_id).text("orderLinkId", acked.link).done()),
            Err(error) => (Some(error), "{}".to_owned()),
        };
        Ok(Done { error, data, ext: "{}".to_owned(), budget: Some(budget) })
    }

    pub(super) fn batch(
        &mut self,
        op: OrderOp,
        account: AccountId,
        body: &Value,
        now: Nanos,
    ) -> Result<Done, ApiError> {
        let category = text(body, "category").ok_or_else(|| ApiError::param("category"))?;
        let product = Product::from_name(category).ok_or_else(|| ApiError::param("category"))?;
        let requests = body.get("request").and_then(Value::as_array).ok_or_else(|| ApiError::param("request"))?;
        let most = if product == Product::Spot { 10 } else { 20 };
        if requests.is_empty() || requests.len() > most {
            return Err(ApiError::param("request"));
        }
        let (granted, budget) = self.exchange.spend(account, op.kind(true), body, requests.len() as u32, now);
        let (mut items, mut codes) = (Vec::new(), Vec::new());
        for (idx, request) in requests.iter().enumerate() {
            let mut request = request.clone();
            if let Some(fields) = request.as_object_mut() {
                fields.insert("category".into(), category.into());
            }
            let outcome = if idx < granted as usize {
                self.exchange.order(op, account, &request, now)
            } else {
                Err(ApiError::new(10006, "Too many visits!"))
            };
            let given = |name| text(&request, name).unwrap_or_default().to_owned();
            let (error, order_id, link) = match outcome {
                Ok(acked) => (ApiError::new(0, "OK"), acked.order_id, acked.link),
                Err(error) => (error, String::new(), given("orderLinkId")),
            };
            let create_at = if error.code == 0 { now.as_millis().to_string() } else { String::new() };
            let item = Obj::new().text("category", category).text("symbol", given("symbol")).text("orderId", order_id);
            let item = item.text("orderLinkId", link);
            items.push(if op == OrderOp::Create { item.text("createAt", create_at) } else { item }.done());
            codes.push(Obj::new().raw("code", error.code).text("msg", error.msg).done());
        }
        Ok(Done {
            error: None,
            data: Obj::new().raw("list", json::array(items)).done(),
            ext: Obj::new().raw("list", json::array(codes)).done(),
            budget: Some(budget),
        })
    }

    fn authenticate(&self, message: &Value, now: Nanos) -> Result<AccountId, ApiError> {
        let args = message.get("args").and_then(Value::as_array).map(Vec::as_slice);
        let Some([Value::String(key), expires, Value::String(signature), ..]) = args else {
            return Err(ApiError::param("args"));
        };
        let expires = match expires {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        };
        let expires: u64 = expires.ok_or_else(|| ApiError::param("expires"))?;
        let account = self.exchange.authenticate(key, &format!("GET/realtime{expires}"), signature)?;
        if expires <= now.as_millis() {
            return Err(ApiError::new(10004, "Request expired"));
        }
        Ok(account)
    }

    fn stream(&mut self, id: ConnId) -> Option<&mut Stream> {
        match &mut self.conns.get_mut(&id)?.codec {
            Codec::Ws(_, stream) => Some(stream),
            _ => None,
        }
    }
}

/// The outcome of an order request that got as far as the limits.
pub(super) struct Done {
    pub error: Option<ApiError>,
    pub data: String,
    pub ext: String,
    pub budget: Option<Budget>,
}

/// A number, or a text that should be one.
fn number_text(object: &Value, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn names(message: &Value) -> impl Iterator<Item = &str> {
    message.get("args").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn is_private_topic(name: &str) -> bool {
    if name == "wallet" || name == "greeks" || name.starts_with("dcp.") {
        return true;
    }
    let families = ["execution.fast", "execution", "order", "position"];
    families.iter().any(|family| {
        let rest = name.strip_prefix(family);
        rest.is_some_and(|rest| matches!(rest, "" | ".linear" | ".spot" | ".inverse" | ".option"))
    })
}

fn with_req_id(obj: Obj, message: &Value) -> Obj {
    match text(message, "req_id") {
        Some(req_id) => obj.text("req_id", req_id),
        None => obj,
    }
}

fn with_trade_req_id(obj: Obj, message: &Value) -> Obj {
    match text(message, "reqId") {
        Some(req_id) => obj.text("reqId", req_id),
        None => obj,
    }
}

/// The answer to an order request that is refused before its order is looked at.
pub(super) fn trade_refusal(id: ConnId, message: &Value, error: &ApiError) -> String {
    let reply = with_trade_req_id(Obj::new(), message).raw("retCode", error.code).text("retMsg", &error.msg);
    let reply = reply.text("op", text(message, "op").unwrap_or_default()).raw("data", "{}").raw("retExtInfo", "{}");
    reply.text("connId", conn_name(id)).done()
}

/// The answer to an order request that is taken, without what it says of rate limits.
pub(super) fn trade_answer(id: ConnId, message: &Value, order_id: &str, link: &str) -> String {
    let data = Obj::new().text("orderId", order_id).text("orderLinkId", link).done();
    let reply = with_trade_req_id(Obj::new(), message).raw("retCode", 0).text("retMsg", "OK");
    let reply = reply.text("op", text(message, "op").unwrap_or_default()).raw("data", data).raw("retExtInfo", "{}");
    reply.text("connId", conn_name(id)).done()
}

fn conn_name(id: ConnId) -> String {
    format!("simex-{:08x}", id.0)
}

const REQ_ID_BYTES_MAX: usize = 36;

/// Request ids remembered per connection to notice repeated ones.
const REQ_IDS_MAX: usize = 256;

/// Topics in one subscription of spot.
const SPOT_ARGS_MAX: usize = 10;

/// Characters of all topics of a public connection, each with its quotes and a comma.
const ARGS_LEN_MAX: usize = 21_000;

fn args_len(name: &str) -> usize {
    name.len() + 3
}
