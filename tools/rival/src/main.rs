//! The rival of `tercel bench tick-to-order`: what a bot usually takes (tokio, tokio-tungstenite, serde_json, `BTreeMap`),
//! doing the same job on the same ticks.
//!
//! ```text
//! market data ──▶ serde_json ──▶ BTreeMap book ──▶ price and quantity ──▶ serde_json ──▶ order entry
//!                                                  order entry, private ──▶ serde_json ──▶ open orders
//! ```
//!
//! One thread, tokio's current-thread runtime: on two cores the runtime with several threads was no faster. `--spin` keeps
//! it from sleeping. It leaves out what every bot should have and the engine does: sequence checks, limits, stamps.

mod book;
mod wire;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use book::Markets;
use wire::{Ack, Frame, OrderRequest, OrderStream};

/// What the bench tells it.
#[derive(Parser)]
#[command(name = "tercel-rival", about = "The rival of `tercel bench tick-to-order`, which starts it")]
struct Args {
    /// Where the load generator listens.
    #[arg(long, value_name = "HOST:PORT")]
    connect: String,
    /// A topic to subscribe; may be given several times.
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// An instrument and the step of its quantities; may be given several times.
    #[arg(long, value_name = "SYMBOL=LOT")]
    instrument: Vec<String>,
    /// Depth of the topic that is the book.
    #[arg(long, value_name = "N")]
    book_depth: u16,
    /// Core to pin the thread to.
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Certificate of the authority that the generator's is signed by; without one the connections are not encrypted.
    #[arg(long, value_name = "PEM")]
    ca_pem: Option<String>,
    /// Polls the sockets without pause instead of sleeping until something comes.
    #[arg(long)]
    spin: bool,
}

type Failure = Box<dyn Error>;
type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const AUTH: &str = r#"{"op":"auth","args":["bench",1700000000000,"4d47919ccdbd7704876a1afe5e2f16a4e66c8e74ab1c3f71d8077bed84919266"]}"#;

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if let Some(id) = args.cpu
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        eprintln!("warning: could not pin the thread to cpu {id}");
    }
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io();
    if args.spin {
        // The sockets are polled after every task instead of every 61.
        builder.event_interval(1);
    }
    builder.build()?.block_on(trade(&args))
}

async fn connect(args: &Args, path: &str) -> Result<Socket, Failure> {
    let tcp = TcpStream::connect(&args.connect).await?;
    tcp.set_nodelay(true)?;
    let (scheme, connector) = match &args.ca_pem {
        None => ("ws", Connector::Plain),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes())?)?;
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            ("wss", Connector::Rustls(Arc::new(config)))
        }
    };
    let url = format!("{scheme}://{}{path}", args.connect);
    Ok(client_async_tls_with_config(url, tcp, None, Some(connector)).await?.0)
}

/// Sends a message and waits for an answer.
async fn ask(socket: &mut Socket, text: String) -> Result<(), Failure> {
    socket.send(Message::text(text)).await?;
    match socket.next().await {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(error.into()),
        None => Err("the connection ended during its introduction".into()),
    }
}

async fn trade(args: &Args) -> Result<(), Failure> {
    let mut markets = Markets::new(args.book_depth, &args.instrument)?;
    let mut orders = connect(args, "/v5/trade").await?;
    let mut private = connect(args, "/v5/private").await?;
    let mut public = connect(args, "/v5/public/linear").await?;
    ask(&mut orders, AUTH.to_owned()).await?;
    ask(&mut private, AUTH.to_owned()).await?;
    ask(&mut private, r#"{"op":"subscribe","args":["order","execution","position","wallet"]}"#.to_owned()).await?;
    let topics = serde_json::json!({"op": "subscribe", "args": args.topic});
    public.send(Message::text(topics.to_string())).await?;
    if args.spin {
        tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
    }
    let mut open: HashMap<String, u64> = HashMap::new();
    let mut next_id = 0u64;
    loop {
        // Market data first, as one who is in a hurry would.
        tokio::select! {
            biased;
            message = public.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    // Answers to subscriptions and other topics are not of this form.
                    let Ok(frame) = serde_json::from_str::<Frame>(&text) else { continue };
                    let Some(wish) = markets.on_frame(&frame) else { continue };
                    next_id += 1;
                    let request = OrderRequest::new(&wish, next_id, unix_ms());
                    open.insert(request.link_id().to_owned(), next_id);
                    orders.send(Message::text(serde_json::to_string(&request)?)).await?;
                }
                Some(Ok(_)) => {}
                // The generator ends the connections when it has played everything.
                Some(Err(_)) | None => return Ok(()),
            },
            message = orders.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Ok(ack) = serde_json::from_str::<Ack>(&text) && ack.ret_code != 0 {
                        open.remove(ack.req_id);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(()),
            },
            message = private.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Ok(stream) = serde_json::from_str::<OrderStream>(&text) {
                        for order in &stream.data {
                            if matches!(order.order_status, "Cancelled" | "Filled" | "Rejected") {
                                open.remove(order.order_link_id);
                            }
                        }
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(()),
            },
        }
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
