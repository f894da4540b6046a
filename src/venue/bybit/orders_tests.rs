//! Every body that we send, byte for byte, and the signatures over some of them.
//!
//! The signatures were computed by another tool: `printf '%s' TEXT | openssl dgst -sha256 -hmac testsecret`.

use serde_json::{Value, json};

use super::*;
use crate::venue::bybit::account::{
    CancelScope, DcpProduct, PositionMode, TradingStop, dcp_body, leverage_body, mode_body,
};
use crate::venue::bybit::rest::signed_headers;
use crate::venue::bybit::{Secret, Signer};

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}

fn limit(px: &str, qty: &str, link_id: &'static str) -> NewOrder<'static> {
    NewOrder::post_only(Product::Linear, "BTCUSDT", Side::Bid, number(px), number(qty), link_id)
}

#[test]
fn numbers_are_plain_decimals() {
    for good in ["0", "1", "0.001", "65000.10"] {
        assert_eq!(number(good).to_string(), good);
    }
    for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1.2.3", "1 ", "\"", "NaN", &"1".repeat(41)] {
        assert!(Number::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn every_order_has_its_documented_form() {
    let trigger = |by| Some(Trigger { px: number("64000"), on_rise: false, by });
    let limit = || limit("60000.0", "0.001", "my-1");
    let spot = |side| NewOrder::market(Product::Spot, "BTCUSDT", side, number("0.01"), "");
    let cases = [
        (
            limit(),
            r#"{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"60000.0","timeInForce":"PostOnly","orderLinkId":"my-1","positionIdx":0}"#,
        ),
        (
            NewOrder { tif: TimeInForce::GoodTillCancel, trigger: trigger(TriggerBy::MarkPrice), ..limit() },
            r#"{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"60000.0","timeInForce":"GTC","triggerPrice":"64000","triggerDirection":2,"triggerBy":"MarkPrice","orderLinkId":"my-1","positionIdx":0}"#,
        ),
        (
            NewOrder {
                tif: TimeInForce::FillOrKill,
                protection: Protection {
                    take_profit: Some(Exit { px: number("70000"), by: Some(TriggerBy::IndexPrice), limit_px: None }),
                    stop_loss: Some(Exit::at(number("50000"))),
                    is_partial: false,
                },
                ..limit()
            },
            r#"{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"60000.0","timeInForce":"FOK","takeProfit":"70000","tpTriggerBy":"IndexPrice","stopLoss":"50000","tpslMode":"Full","orderLinkId":"my-1","positionIdx":0}"#,
        ),
        (
            NewOrder {
                protection: Protection {
                    take_profit: Some(Exit { px: number("70000"), by: None, limit_px: Some(number("70010")) }),
                    stop_loss: None,
                    is_partial: true,
                },
                ..limit()
            },
            r#"{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"60000.0","timeInForce":"PostOnly","takeProfit":"70000","tpOrderType":"Limit","tpLimitPrice":"70010","tpslMode":"Partial","orderLinkId":"my-1","positionIdx":0}"#,
        ),
        (
            NewOrder::close(Product::Linear, "ETHUSDT", Side::Ask, "end"),
            r#"{"category":"linear","symbol":"ETHUSDT","side":"Sell","orderType":"Market","qty":"0","timeInForce":"IOC","orderLinkId":"end","positionIdx":0,"reduceOnly":true,"closeOnTrigger":true}"#,
        ),
        (
            spot(Side::Bid),
            r#"{"category":"spot","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"0.01","marketUnit":"baseCoin","timeInForce":"IOC"}"#,
        ),
        (
            NewOrder {
                trigger: trigger(TriggerBy::LastPrice),
                filter: Some(OrderFilter::StopOrder),
                ..spot(Side::Ask)
            },
            r#"{"category":"spot","symbol":"BTCUSDT","side":"Sell","orderType":"Market","qty":"0.01","marketUnit":"baseCoin","timeInForce":"IOC","orderFilter":"StopOrder","triggerPrice":"64000"}"#,
        ),
    ];
    for (order, want) in cases {
        assert_eq!(OrderRequest::New(order).body(), want);
    }
    let key = OrderKey::Venue("a4c1718e-fe53-4659-a118-1f6ecce04ad9");
    let amend = AmendOrder {
        px: Some(number("2801")),
        qty: Some(number("0.3")),
        ..AmendOrder::of(Product::Linear, "ETHUSDT", key)
    };
    assert_eq!(
        OrderRequest::Amend(amend.clone()).body(),
        r#"{"category":"linear","symbol":"ETHUSDT","orderId":"a4c1718e-fe53-4659-a118-1f6ecce04ad9","price":"2801","qty":"0.3"}"#
    );
    let amend = AmendOrder {
        px: None,
        qty: None,
        trigger_px: Some(number("2700")),
        protection: Protection { stop_loss: Some(Exit::at(number("0"))), ..Protection::default() },
        ..amend
    };
    assert_eq!(
        OrderRequest::Amend(amend).body(),
        r#"{"category":"linear","symbol":"ETHUSDT","orderId":"a4c1718e-fe53-4659-a118-1f6ecce04ad9","triggerPrice":"2700","stopLoss":"0","tpslMode":"Full"}"#
    );
    let cancel = CancelOrder {
        product: Product::Spot,
        symbol: "BTCUSDT",
        key: OrderKey::Link("my-1"),
        filter: Some(OrderFilter::TpslOrder),
    };
    assert_eq!(
        OrderRequest::Cancel(cancel).body(),
        r#"{"category":"spot","symbol":"BTCUSDT","orderLinkId":"my-1","orderFilter":"tpslOrder"}"#
    );
}

#[test]
fn every_other_request_has_its_documented_form() {
    let linear = CancelScope::everything(Product::Linear, "USDT");
    let spot = CancelScope::everything(Product::Spot, "USDT");
    let of_symbol = CancelScope {
        symbol: Some("BTCUSDT"),
        settle_coin: None,
        filter: Some(OrderFilter::StopOrder),
        stop_order_type: Some("Stop"),
        ..linear
    };
    let stop = TradingStop {
        take_profit: Some(Exit { px: number("70000"), by: Some(TriggerBy::MarkPrice), limit_px: None }),
        stop_loss: Some(Exit::at(number("50000"))),
        ..TradingStop::default()
    };
    let trailing =
        TradingStop { trailing: Some(number("100.5")), trailing_from: Some(number("66000")), ..TradingStop::default() };
    let partial = TradingStop { partial: Some(number("0.002")), take_profit: None, ..stop.clone() };
    for (body, want) in [
        (linear.body(), r#"{"category":"linear","settleCoin":"USDT"}"#),
        (spot.body(), r#"{"category":"spot"}"#),
        (
            CancelScope { filter: Some(OrderFilter::TpslOrder), ..spot }.body(),
            r#"{"category":"spot","orderFilter":"tpslOrder"}"#,
        ),
        (
            of_symbol.body(),
            r#"{"category":"linear","symbol":"BTCUSDT","orderFilter":"StopOrder","stopOrderType":"Stop"}"#,
        ),
        (
            leverage_body(Product::Linear, "BTCUSDT", "10"),
            r#"{"category":"linear","symbol":"BTCUSDT","buyLeverage":"10","sellLeverage":"10"}"#,
        ),
        (mode_body("BTCUSDT", PositionMode::OneWay), r#"{"category":"linear","symbol":"BTCUSDT","mode":0}"#),
        (mode_body("BTCUSDT", PositionMode::Hedge), r#"{"category":"linear","symbol":"BTCUSDT","mode":3}"#),
        (dcp_body(DcpProduct::Derivatives, 40), r#"{"product":"DERIVATIVES","timeWindow":40}"#),
        (
            stop.body(Product::Linear, "BTCUSDT"),
            r#"{"category":"linear","symbol":"BTCUSDT","tpslMode":"Full","positionIdx":0,"takeProfit":"70000","tpTriggerBy":"MarkPrice","stopLoss":"50000"}"#,
        ),
        (
            trailing.body(Product::Linear, "BTCUSDT"),
            r#"{"category":"linear","symbol":"BTCUSDT","tpslMode":"Full","positionIdx":0,"trailingStop":"100.5","activePrice":"66000"}"#,
        ),
        (
            partial.body(Product::Linear, "BTCUSDT"),
            r#"{"category":"linear","symbol":"BTCUSDT","tpslMode":"Partial","positionIdx":0,"stopLoss":"50000","slSize":"0.002"}"#,
        ),
    ] {
        assert_eq!(body, want);
    }
}

#[test]
fn batches_and_single_requests_over_the_socket_have_their_documented_form() {
    let order = |link_id| OrderRequest::New(limit("500", "10", link_id));
    let batch = Batch::new(vec![order("a-1"), order("a-2")]).unwrap();
    assert_eq!(
        batch.message("r-1", 1_740_453_381_256, 1000),
        r#"{"reqId":"r-1","header":{"X-BAPI-TIMESTAMP":"1740453381256","X-BAPI-RECV-WINDOW":"1000"},"op":"order.create-batch","args":[{"category":"linear","request":[{"symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"10","price":"500","timeInForce":"PostOnly","orderLinkId":"a-1","positionIdx":0},{"symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"10","price":"500","timeInForce":"PostOnly","orderLinkId":"a-2","positionIdx":0}]}]}"#
    );
    assert_eq!((batch.path(), batch.len()), ("/v5/order/create-batch", 2));
    let cancel = |link| {
        OrderRequest::Cancel(CancelOrder {
            product: Product::Linear,
            symbol: "ETHUSDT",
            key: OrderKey::Link(link),
            filter: None,
        })
    };
    assert_eq!(
        cancel("my-1").message("c-1", 1_711_001_595_400, 5000),
        r#"{"reqId":"c-1","header":{"X-BAPI-TIMESTAMP":"1711001595400","X-BAPI-RECV-WINDOW":"5000"},"op":"order.cancel","args":[{"category":"linear","symbol":"ETHUSDT","orderLinkId":"my-1"}]}"#
    );
    let amend = OrderRequest::Amend(AmendOrder::of(Product::Linear, "ETHUSDT", OrderKey::Link("my-1")));
    assert_eq!(Batch::new(vec![amend]).unwrap().path(), "/v5/order/amend-batch");
    assert_eq!(
        Batch::new(vec![cancel("my-1")]).unwrap().body(),
        r#"{"category":"linear","request":[{"symbol":"ETHUSDT","orderLinkId":"my-1"}]}"#
    );
    assert!(Batch::new(vec![]).is_none() && Batch::new(vec![order("a"), cancel("b")]).is_none());
    assert!(Batch::new(vec![order("a"); 21]).is_none() && Batch::new(vec![order("a"); 20]).is_some());
}

#[test]
fn a_batch_tells_of_each_item_though_its_outer_code_is_good() {
    let item = |id: &str, link: &str| json!({"category": "linear", "symbol": "X", "orderId": id, "orderLinkId": link});
    let codes = json!({"list": [{"code": 0, "msg": "OK"}, {"code": 10001, "msg": "bad"}]});
    let list = json!({"list": [item("7", "a"), item("", "b")]});
    for field in ["data", "result"] {
        let items = batch_items(&json!({"retCode": 0, field: list.clone(), "retExtInfo": codes.clone()})).unwrap();
        assert_eq!((items[0].order_id.as_str(), items[0].link_id.as_str(), items[0].code), ("7", "a", 0));
        assert_eq!((items[1].order_id.as_str(), items[1].code, items[1].message.as_str()), ("", 10001, "bad"));
    }
    let short = json!({"result": list, "retExtInfo": {"list": [{"code": 0, "msg": "OK"}]}});
    assert!(batch_items(&short).is_none() && batch_items(&Value::Null).is_none());
}

#[test]
fn ids_cannot_break_out_of_their_place() {
    let order = NewOrder { link_id: "a\",\"qty\":\"9", ..limit("1", "1", "") };
    let parsed: Value = serde_json::from_str(&OrderRequest::New(order).body()).unwrap();
    assert_eq!((&parsed["orderLinkId"], &parsed["qty"]), (&json!("a\",\"qty\":\"9"), &json!("1")));
}

#[test]
fn signatures_are_those_of_another_tool() {
    let signer = Signer::new(&Secret::new("testsecret"));
    let body = OrderRequest::New(limit("60000.0", "0.001", "my-1")).body();
    for (payload, want) in [
        (body.as_str(), "4b17b91fe021bfbf8d15f8fa22586e6179da2a8d00b1c3f7f96f46f498760702"),
        (
            r#"{"category":"linear","settleCoin":"USDT"}"#,
            "8348fb431ba93c6d4fdc1da745d3cc510badf9b19c0449fe29f7aad97ea7e68d",
        ),
        (
            "category=linear&settleCoin=USDT&openOnly=0&limit=50",
            "bfe1028f2c3f562f8f105aa013fe398c9c9258c56f4a7e7ec2287bfc4bd2f630",
        ),
        ("", "3931d4afc9be27400d8481f94cae220945daae02b944d833ff56d3dee60f2e5e"),
    ] {
        let headers = signed_headers(&signer, "testkey", 5000, payload, 1_711_001_595_207);
        assert_eq!(headers[0], ("X-BAPI-API-KEY", "testkey".to_owned()));
        assert_eq!(headers[1], ("X-BAPI-TIMESTAMP", "1711001595207".to_owned()));
        assert_eq!(headers[2], ("X-BAPI-RECV-WINDOW", "5000".to_owned()));
        assert_eq!(headers[3], ("X-BAPI-SIGN", want.to_owned()), "{payload}");
    }
}
