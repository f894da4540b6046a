//! What the duty tells the engine of answers, silence and its own refusals, against a server that plays a script.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::guard::{Heartbeat, PulseTerms};
use crate::ring::spsc;
use crate::runtime::clock_offset;
use crate::types::{
    ClientOrderId, CommandStamps, InstrumentId, InstrumentSpec, Level, Lots, Product, Side, Step, Symbol, Ticks,
    TimeInForce, VenueId,
};
use crate::venue::bybit::Secret;
use crate::venue::bybit::rest::RestConfig;

/// Answers each connection with the next of `answers`, `None` by hanging up; returns the requests' first lines and bodies.
fn serve(answers: Vec<Option<&'static str>>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handle = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            let text = loop {
                let count = stream.read(&mut chunk).unwrap();
                request.extend_from_slice(&chunk[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some(end) = text.find("\r\n\r\n") else { continue };
                let length = text
                    .to_lowercase()
                    .split("content-length: ")
                    .nth(1)
                    .map_or(0, |rest| rest.split("\r\n").next().unwrap_or("0").parse::<usize>().unwrap());
                if request.len() >= end + 4 + length {
                    break text;
                }
            };
            let line = text.split(" HTTP").next().unwrap().to_owned();
            asked.push(format!("{line} {}", text.split("\r\n\r\n").nth(1).unwrap_or("")));
            let Some(body) = answer else { continue };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Bapi-Limit: 10\r\nX-Bapi-Limit-Status: 7\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body.as_bytes()).unwrap();
        }
        asked
    });
    (url, handle)
}

const GOOD: &str = r#"{"retCode":0,"retMsg":"OK","result":{"orderId":"1"},"retExtInfo":{},"time":1711001595209}"#;
const TIME: &str =
    r#"{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1","timeNano":"1688639403423213947"},"time":1}"#;

struct Rig {
    duty: RestOrdersDuty,
    commands: Producer<Record>,
    events: Consumer<Record>,
    clock: Clock,
}

impl Rig {
    fn new(url: &str) -> Self {
        let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
        let table = InstrumentTable::new(vec![spec]).unwrap();
        let rest = RestClient::new(RestConfig {
            api_key: "key".into(),
            secret: Some(Secret::new("secret")),
            timeout: Duration::from_secs(20),
            ..RestConfig::new(url)
        });
        let config = RestOrdersConfig {
            rest: rest.unwrap(),
            run_id: 1,
            recv_window_ms: 5_000,
            clock_offset: clock_offset().1,
            send_within_ns: 3_600_000_000_000,
        };
        let (commands, to_duty) = spsc(16);
        let (from_duty, events) = spsc(64);
        let clock = Clock::new();
        let duty = RestOrdersDuty::new(config, &table, to_duty, from_duty, clock.clone());
        Self { duty, commands, events, clock }
    }

    fn command(&self, kind: CommandKind) -> Command {
        Command {
            kind,
            side: Side::Bid,
            tif: TimeInForce::PostOnly,
            reduce_only: false,
            trigger: None,
            instrument: InstrumentId(0),
            client_id: ClientOrderId(31),
            request: 3,
            px: Ticks::new(600_000),
            qty: Lots::new(1),
            at: self.clock.now(),
            stamps: CommandStamps::default(),
        }
    }

    /// Sends one command, polls once, and returns what the engine is told.
    fn send(&mut self, command: Command) -> Vec<String> {
        self.commands.push(command.pack()).unwrap();
        self.poll()
    }

    fn poll(&mut self) -> Vec<String> {
        self.duty.poll(self.clock.now());
        let mut levels = vec![Level::default(); 4];
        let mut out = Vec::new();
        while let Some(record) = self.events.pop() {
            out.push(match Event::decode(&record, |_| record, &mut levels).unwrap() {
                Event::Link(link) => format!("{:?} up {}", link.kind, link.is_up),
                Event::Ack(ack) => format!(
                    "ack {:?} {} {} left {} at {}",
                    ack.op,
                    ack.client_id.0,
                    ack.request,
                    ack.limit_left,
                    ack.meta.venue_ts.as_millis()
                ),
                Event::Reject(reject) => {
                    format!(
                        "{:?} {:?} {} {} {}",
                        reject.kind, reject.op, reject.client_id.0, reject.request, reject.code
                    )
                }
                other => format!("{other:?}"),
            });
        }
        out
    }
}

#[test]
fn an_answer_becomes_an_ack_or_a_reject_of_its_kind() {
    let refused = r#"{"retCode":110007,"retMsg":"ab not enough","result":{}}"#;
    let gone = r#"{"retCode":110001,"retMsg":"order not exists","result":{}}"#;
    let doubtful = r#"{"retCode":10016,"retMsg":"server error","result":{}}"#;
    let (url, handle) = serve(vec![Some(GOOD), Some(refused), Some(gone), Some(doubtful), Some(GOOD)]);
    let mut rig = Rig::new(&url);
    let (create, amend, cancel) =
        (rig.command(CommandKind::New), rig.command(CommandKind::Amend), rig.command(CommandKind::Cancel));
    assert_eq!(rig.send(create), ["Trade up true", "ack Create 31 3 left 7 at 1711001595209"]);
    assert_eq!(rig.send(create), ["Refused Create 31 3 110007"]);
    assert_eq!(rig.send(cancel), ["Gone Cancel 31 3 110001"]);
    assert_eq!(rig.send(amend), ["Unknown Amend 31 3 10016"]);
    assert_eq!(rig.send(cancel), ["ack Cancel 31 3 left 7 at 1711001595209"]);
    let asked = handle.join().unwrap();
    assert_eq!(
        asked[0],
        r#"POST /v5/order/create {"category":"linear","symbol":"BTCUSDT","orderLinkId":"t00000001-000000000000001f","side":"Buy","orderType":"Limit","timeInForce":"PostOnly","reduceOnly":false,"positionIdx":0,"price":"60000.0","qty":"0.001"}"#
    );
    assert!(asked[3].starts_with("POST /v5/order/amend ") && asked[4].starts_with("POST /v5/order/cancel "));
}

#[test]
fn silence_makes_an_order_unknown_and_is_never_answered_by_a_second_order() {
    let (url, handle) = serve(vec![None, Some(TIME), Some(GOOD), None, Some(GOOD)]);
    let mut rig = Rig::new(&url);
    let (create, cancel) = (rig.command(CommandKind::New), rig.command(CommandKind::Cancel));
    assert_eq!(rig.send(create), ["Trade up true", "Unknown Create 31 3 0", "Trade up false"]);
    // Nothing new is sent to a venue that may be gone.
    assert_eq!(rig.send(create), ["NotSent Create 31 3 0"]);
    rig.duty.probe_at = Nanos::ZERO;
    assert_eq!(rig.poll(), ["Trade up true"]);
    assert_eq!(rig.send(create).len(), 1);
    // A cancel does no harm twice.
    assert_eq!(rig.send(cancel), ["ack Cancel 31 3 left 7 at 1711001595209"]);
    let asked: Vec<String> = handle.join().unwrap().iter().map(|line| line.split(' ').nth(1).unwrap().into()).collect();
    assert_eq!(
        asked,
        ["/v5/order/create", "/v5/market/time", "/v5/order/create", "/v5/order/cancel", "/v5/order/cancel"]
    );
    assert_eq!((rig.duty.report.sent, rig.duty.report.retried, rig.duty.report.unanswered), (3, 1, 1));
}

#[test]
fn what_is_late_or_fenced_is_not_sent_but_cancels_are() {
    let (url, handle) = serve(vec![Some(GOOD), Some(GOOD)]);
    let mut rig = Rig::new(&url);
    rig.poll();
    rig.duty.config.send_within_ns = 1_000_000_000;
    let long_ago = Nanos::new(rig.clock.now().get() - 2_000_000_000);
    for kind in [CommandKind::New, CommandKind::NewMarket, CommandKind::Amend] {
        let late = Command { at: long_ago, ..rig.command(kind) };
        let told = rig.send(late);
        assert!(told.len() == 1 && told[0].starts_with("NotSent"), "{told:?}");
    }
    let late = Command { at: long_ago, ..rig.command(CommandKind::Cancel) };
    assert!(rig.send(late)[0].starts_with("ack Cancel"));
    rig.duty.config.send_within_ns = 3_600_000_000_000;
    let beat = Arc::new(Heartbeat::register(None, 1, 5_000, 1).unwrap());
    rig.duty.set_pulse(GatewayPulse::new(beat.clone(), PulseTerms { needs_lease: true, ..PulseTerms::default() }));
    let create = rig.command(CommandKind::New);
    assert!(rig.send(create)[0].starts_with("NotSent"), "it has no lease");
    let cancel = rig.command(CommandKind::CancelForeign);
    assert!(rig.send(cancel)[0].starts_with("ack Cancel"));
    assert_eq!(handle.join().unwrap().len(), 2);
    assert_eq!(rig.duty.report.not_sent, 4);
}
