//! Orders and fills of a run, from its journal.
//!
//! `orders` has a row for each step of an order's life: each command of the engine, and each piece of news about an order, in the order
//! in which the engine lived them. `fills` has a row for each execution, however often it was told; that takes some 40 bytes of memory an
//! execution.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use tercel::journal::{JournalHeader, JournalReader, JournalSteps, JournaledCommand, journals};
use tercel::types::{
    ClientOrderId, Command, CommandKind, Event, Fill, InstrumentSpec, InstrumentTable, Meta, Money, Op, OrderStatus,
    RejectKind, TimeInForce,
};
use tercel::venue::bybit::LinkId;
use tercel::venue::bybit::codes::reason_text;

use super::market::{decimal, origin, side_word};
use super::table::{Cell, Kind, Table};
use crate::failure::{Failure, Outcome};

/// An execution waits so long for the venue's word on its fee; then it is written with the estimate.
const FEE_WITHIN_NS: u64 = 60_000_000_000;

/// Steps between two looks at Ctrl-C.
const LOOK_EVERY: u64 = 1 << 16;

/// A journal, ready to be read.
pub struct Session {
    file: PathBuf,
    header: JournalHeader,
    table: InstrumentTable,
    scales: [u32; 2],
    steps: JournalSteps,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Events read.
    pub events: u64,
    /// Whether the journal was closed in order.
    pub is_closed: bool,
    /// Executions whose fee was corrected after they were written.
    pub late_fees: u64,
}

/// Which of it is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Steps of orders.
    Orders,
    /// Executions.
    Fills,
}

impl Session {
    /// Opens a journal: a file, or the newest of a folder.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(path: &Path) -> Outcome<Self> {
        let file = match path.is_dir() {
            false => path.to_owned(),
            // Runs count upwards, and their names with them.
            true => journals(path)
                .map_err(|e| Failure::file(path, e))?
                .pop()
                .and_then(|journal| journal.segments.into_iter().next())
                .ok_or_else(|| Failure::file(path, "holds no journal (*.tj)"))?,
        };
        let reader = JournalReader::open(&file).map_err(|e| Failure::file(&file, e))?;
        let header = reader.header().clone();
        let table =
            header.table().ok_or_else(|| Failure::file(&file, "its header names instruments that cannot be"))?;
        let scale = |decimals: fn(&InstrumentSpec) -> u8| {
            table.iter().map(|(_, spec)| u32::from(decimals(spec))).max().unwrap_or(0)
        };
        let scales = [scale(|spec| spec.tick.decimals()), scale(|spec| spec.lot.decimals())];
        Ok(Self { file, header, table, scales, steps: JournalSteps::new(reader) })
    }

    /// The journal's first file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The columns of the table.
    pub fn columns(&self, what: What) -> Vec<(&'static str, Kind)> {
        let mut columns = vec![
            ("time", Kind::Time),
            ("venue_time", Kind::Time),
            ("venue", Kind::Text),
            ("symbol", Kind::Text),
            ("order_id", Kind::Text),
            ("venue_order_id", Kind::Text),
            ("side", Kind::Text),
            ("px", Kind::Decimal(self.scales[0])),
            ("qty", Kind::Decimal(self.scales[1])),
        ];
        columns.extend(match what {
            What::Orders => vec![
                ("event", Kind::Text),
                ("request", Kind::Uint),
                ("request_kind", Kind::Text),
                ("time_in_force", Kind::Text),
                ("reduce_only", Kind::Flag),
                ("taken", Kind::Flag),
                ("status", Kind::Text),
                ("filled", Kind::Decimal(self.scales[1])),
                ("reason", Kind::Text),
                ("code", Kind::Int),
            ],
            What::Fills => vec![
                ("exec_id", Kind::Text),
                ("maker", Kind::Flag),
                ("fee", Kind::Decimal(Money::DECIMALS)),
                ("fee_final", Kind::Flag),
            ],
        });
        columns
    }

    /// Writes the table, and asks `look` now and then whether to go on.
    ///
    /// # Errors
    /// A damaged journal, the table's word, or what `look` says.
    pub fn write(&mut self, what: What, table: &mut Table, mut look: impl FnMut(u64) -> Outcome) -> Outcome<Found> {
        let Self { file, header, table: instruments, scales, steps } = self;
        let rows = Rows { instruments, run_id: header.run_id, scales: *scales };
        let (mut found, mut fills) = (Found::default(), Fills::default());
        loop {
            let step = steps.next_step().map_err(|e| Failure::file(file, e))?;
            let Some(step) = step else { break };
            found.events += 1;
            match (what, &step.event) {
                (What::Fills, Event::Fill(fill)) => fills.tell(fill),
                (What::Fills, _) => {}
                (What::Orders, event) => {
                    rows.news(event, table)?;
                    for command in step.commands {
                        rows.command(command, table)?;
                    }
                }
            }
            if what == What::Fills {
                let now = step.event.meta().recv.get();
                fills.ready(
                    |fill| now.saturating_sub(fill.meta.recv.get()) > FEE_WITHIN_NS,
                    |fill| rows.fill(fill, table),
                )?;
            }
            if found.events.is_multiple_of(LOOK_EVERY) {
                look(found.events)?;
            }
        }
        fills.ready(|_| true, |fill| rows.fill(fill, table))?;
        found.late_fees = fills.late;
        found.is_closed = steps.reader().durable_mark().is_closed;
        Ok(found)
    }
}

/// Executions in the order in which they were first told, each once.
#[derive(Default)]
struct Fills {
    waiting: VecDeque<Fill>,
    /// Number of each execution.
    known: HashMap<u128, u64>,
    /// Executions that were written with an estimated fee.
    estimated: HashSet<u128>,
    /// Number of the first that waits.
    first: u64,
    late: u64,
}

impl Fills {
    fn tell(&mut self, fill: &Fill) {
        let next = self.first + self.waiting.len() as u64;
        let number = *self.known.entry(fill.exec_id).or_insert(next);
        if number == next {
            self.waiting.push_back(*fill);
            return;
        }
        match number.checked_sub(self.first).and_then(|idx| self.waiting.get_mut(idx as usize)) {
            Some(known) if !known.is_fee_final && fill.is_fee_final => {
                (known.fee, known.is_fee_final) = (fill.fee, true);
            }
            Some(_) => {}
            None => self.late += u64::from(fill.is_fee_final && self.estimated.remove(&fill.exec_id)),
        }
    }

    /// Takes the first ones as long as each is final or waits for too long.
    fn ready(&mut self, is_old: impl Fn(&Fill) -> bool, mut take: impl FnMut(&Fill) -> Outcome) -> Outcome {
        while let Some(fill) = self.waiting.front()
            && (fill.is_fee_final || is_old(fill))
        {
            take(fill)?;
            if !fill.is_fee_final {
                self.estimated.insert(fill.exec_id);
            }
            self.waiting.pop_front();
            self.first += 1;
        }
        Ok(())
    }
}

/// Makes rows.
struct Rows<'a> {
    instruments: &'a InstrumentTable,
    run_id: u32,
    scales: [u32; 2],
}

/// The fields of an order's step; what is not told is null.
struct OrderRow<'a> {
    meta: Meta,
    /// A request about the orders of all instruments.
    is_for_all: bool,
    client_id: ClientOrderId,
    venue_order_id: u128,
    side: Cell<'a>,
    px: Option<i64>,
    qty: Option<i64>,
    event: &'a str,
    /// Request, its kind, time in force, reduce-only, taken, status.
    more: [Cell<'a>; 6],
    filled: Option<i64>,
    reason: Cell<'a>,
    code: Cell<'a>,
}

impl<'a> OrderRow<'a> {
    fn new(meta: Meta, client_id: ClientOrderId, event: &'a str) -> Self {
        Self {
            meta,
            is_for_all: false,
            client_id,
            venue_order_id: 0,
            side: Cell::Null,
            px: None,
            qty: None,
            event,
            more: [Cell::Null; 6],
            filled: None,
            reason: Cell::Null,
            code: Cell::Null,
        }
    }
}

impl Rows<'_> {
    fn spec(&self, meta: &Meta) -> Outcome<&InstrumentSpec> {
        let found = self.instruments.get(meta.instrument);
        found.ok_or_else(|| Failure::from(format!("{:?} is not in the journal's header", meta.instrument)))
    }

    fn order(&self, row: &OrderRow<'_>, table: &mut Table) -> Outcome {
        let spec = self.spec(&row.meta)?;
        let [time, venue_time, venue, symbol] = origin(&row.meta, spec);
        let symbol = if row.is_for_all { Cell::Null } else { symbol };
        let (order_id, venue_order_id) = (self.order_id(row.client_id), hex(row.venue_order_id));
        let px = row.px.map_or(Cell::Null, |px| decimal(spec.tick, px, self.scales[0]));
        let [qty, filled] =
            [row.qty, row.filled].map(|qty| qty.map_or(Cell::Null, |qty| decimal(spec.lot, qty, self.scales[1])));
        let [request, request_kind, tif, reduce_only, taken, status] = row.more;
        let (order_id, venue_order_id) = (text(&order_id), text(&venue_order_id));
        table.row(&[
            time,
            venue_time,
            venue,
            symbol,
            order_id,
            venue_order_id,
            row.side,
            px,
            qty,
            Cell::Text(row.event),
            request,
            request_kind,
            tif,
            reduce_only,
            taken,
            status,
            filled,
            row.reason,
            row.code,
        ])
    }

    fn command(&self, journaled: &JournaledCommand, table: &mut Table) -> Outcome {
        let command = &journaled.command;
        let (kind, is_limit, has_qty) = match command.kind {
            CommandKind::New => ("new", true, true),
            CommandKind::NewMarket => ("new_market", false, true),
            // Its price is the trigger.
            CommandKind::NewStop => ("new_stop", true, true),
            CommandKind::Amend => ("amend", true, true),
            CommandKind::Cancel => ("cancel", false, false),
            CommandKind::CancelAll => ("cancel_all", false, false),
            CommandKind::CancelForeign => ("cancel_foreign", false, false),
            // Questions change no order.
            CommandKind::Query | CommandKind::Reconcile | CommandKind::Reconnect => return Ok(()),
        };
        let meta = Meta { instrument: command.instrument, recv: command.at, ..Meta::default() };
        let mut row = OrderRow::new(meta, command.client_id, "command");
        if command.kind == CommandKind::CancelForeign {
            row.venue_order_id = command.venue_order_id();
        }
        row.is_for_all = command.kind == CommandKind::CancelAll;
        if !row.is_for_all {
            row.side = Cell::Text(side_word(command.side));
        }
        row.px = is_limit.then(|| command.px.get());
        row.qty = has_qty.then(|| command.qty.get());
        let tif = match has_qty {
            true => Cell::Text(tif_word(command)),
            false => Cell::Null,
        };
        let request = request(command.request);
        row.more = [
            request,
            Cell::Text(kind),
            tif,
            Cell::Flag(command.reduce_only),
            Cell::Flag(journaled.is_taken),
            Cell::Null,
        ];
        self.order(&row, table)
    }

    fn news(&self, event: &Event<'_>, table: &mut Table) -> Outcome {
        let row = match event {
            Event::Sent(sent) => {
                let mut row = OrderRow::new(sent.meta, sent.client_id, "sent");
                row.more[0] = request(sent.request);
                row
            }
            Event::Ack(ack) => {
                let mut row = OrderRow::new(ack.meta, ack.client_id, "ack");
                row.is_for_all = ack.op == Op::CancelAll;
                (row.more[0], row.more[1]) = (request(ack.request), Cell::Text(op_word(ack.op)));
                row
            }
            Event::Reject(reject) => {
                let mut row = OrderRow::new(reject.meta, reject.client_id, "reject");
                row.is_for_all = reject.op == Op::CancelAll;
                (row.more[0], row.more[1]) = (request(reject.request), Cell::Text(op_word(reject.op)));
                row.reason = Cell::Text(reject_word(reject.kind));
                row.code = Cell::Int(i64::from(reject.code));
                row
            }
            Event::Order(update) => {
                let mut row = OrderRow::new(update.meta, update.client_id, "update");
                row.venue_order_id = update.venue_order_id;
                row.side = Cell::Text(side_word(update.side));
                (row.px, row.qty) = (Some(update.px.get()), Some(update.qty.get()));
                row.filled = Some(update.filled.get());
                row.more[5] = Cell::Text(status_word(update.status));
                if update.reason != 0 {
                    row.reason = Cell::Text(reason_text(update.reason));
                }
                row
            }
            Event::Absent(absent) => OrderRow::new(absent.meta, absent.client_id, "absent"),
            _ => return Ok(()),
        };
        self.order(&row, table)
    }

    fn fill(&self, fill: &Fill, table: &mut Table) -> Outcome {
        let spec = self.spec(&fill.meta)?;
        let [time, venue_time, venue, symbol] = origin(&fill.meta, spec);
        let (order_id, venue_order_id, exec_id) =
            (self.order_id(fill.client_id), hex(fill.venue_order_id), hex(fill.exec_id));
        table.row(&[
            time,
            venue_time,
            venue,
            symbol,
            text(&order_id),
            text(&venue_order_id),
            Cell::Text(side_word(fill.side)),
            decimal(spec.tick, fill.px.get(), self.scales[0]),
            decimal(spec.lot, fill.qty.get(), self.scales[1]),
            text(&exec_id),
            Cell::Flag(fill.is_maker),
            Cell::Decimal(fill.fee.get()),
            Cell::Flag(fill.is_fee_final),
        ])
    }

    /// An order's id as it stands on the wire; none for orders that are not ours.
    fn order_id(&self, client_id: ClientOrderId) -> Option<String> {
        let id = LinkId { run_id: self.run_id, client_id };
        (client_id.0 != 0).then(|| String::from_utf8_lossy(&id.write()).into_owned())
    }
}

fn text(text: &Option<String>) -> Cell<'_> {
    text.as_deref().map_or(Cell::Null, Cell::Text)
}

/// A number of the venue; none where it was not told.
fn hex(number: u128) -> Option<String> {
    (number != 0).then(|| format!("{number:032x}"))
}

fn request(number: u16) -> Cell<'static> {
    if number == 0 { Cell::Null } else { Cell::Uint(u64::from(number)) }
}

fn op_word(op: Op) -> &'static str {
    match op {
        Op::Create => "new",
        Op::Amend => "amend",
        Op::Cancel => "cancel",
        Op::CancelAll => "cancel_all",
    }
}

fn tif_word(command: &Command) -> &'static str {
    match command.tif {
        TimeInForce::GoodTillCancel => "gtc",
        TimeInForce::PostOnly => "post_only",
        TimeInForce::ImmediateOrCancel => "ioc",
        TimeInForce::FillOrKill => "fok",
    }
}

fn status_word(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::New => "new",
        OrderStatus::PartiallyFilled => "partially_filled",
        OrderStatus::Filled => "filled",
        OrderStatus::Cancelled => "cancelled",
        OrderStatus::Rejected => "rejected",
        OrderStatus::Untriggered => "untriggered",
    }
}

fn reject_word(kind: RejectKind) -> &'static str {
    match kind {
        RejectKind::Refused => "refused",
        RejectKind::Gone => "gone",
        RejectKind::RateLimited => "rate_limited",
        RejectKind::Unknown => "unknown",
        RejectKind::NotSent => "not_sent",
        RejectKind::Clock => "clock",
        RejectKind::Busy => "busy",
    }
}
