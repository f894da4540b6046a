//! REST: what everybody may ask: instruments, prices, books, trades, candles.

use super::{
    Simex,
    candles::Interval,
    config::ListingStatus,
    error::ApiError,
    exchange::text,
    json::{self, Obj},
    objects,
    rest::{Answer, Outcome, limit, millis, page, product},
};
use crate::types::{InstrumentId, Nanos, Product};
use serde_json::Value;

impl Simex {
    pub(super) fn instruments(&self, query: &Value) -> Outcome {
        let product = product(query)?;
        let given = |name| text(query, name).filter(|text| !text.is_empty());
        let (wanted, base, status) = (given("symbol"), given("baseCoin"), given("status"));
        let all = self.config.listings.iter().enumerate().filter_map(|(idx, listing)| {
            let (id, spec) = (InstrumentId(idx as u16), &listing.spec);
            let its = self.public.status(id);
            let fits = match (wanted, status) {
                (_, Some(status)) => its.name() == status,
                // By name it is found whatever has become of it; otherwise only what trades is listed.
                (Some(_), None) => true,
                (None, None) => its == ListingStatus::Trading,
            };
            let is_meant = spec.product == product
                && fits
                && wanted.is_none_or(|symbol| symbol == spec.symbol.as_str())
                && base.is_none_or(|coin| coin == objects::coins(spec).0);
            let funding_ns = self.public.tape(id)?.funding.interval_ns;
            is_meant.then(|| objects::instrument(id, listing, its, funding_ns, self.opened))
        });
        // Spot ignores limit and cursor.
        let size = if product == Product::Spot { usize::MAX } else { limit(query, 500, 1_000)? };
        let (list, cursor) = page(all, query, size)?;
        if wanted.is_some() && list == "[]" {
            return Err(ApiError::param("symbol"));
        }
        Ok(Obj::new().text("category", product.name()).raw("list", list).text("nextPageCursor", cursor).done().into())
    }

    pub(super) fn tickers(&mut self, query: &Value, now: Nanos) -> Outcome {
        let product = product(query)?;
        let wanted = text(query, "symbol").filter(|symbol| !symbol.is_empty());
        let venue = &self.exchange.venue;
        let public = &mut self.public;
        let all = (0..venue.instruments_len()).filter_map(|idx| {
            let id = InstrumentId(idx as u16);
            let spec = venue.spec(id).filter(|spec| spec.product == product)?;
            let is_over = public.status(id) == ListingStatus::Closed;
            if is_over || wanted.is_some_and(|symbol| symbol != spec.symbol.as_str()) {
                return None;
            }
            let fields = public.ticker_fields(venue, id, now)?;
            let mut ticker = Obj::new().text("symbol", spec.symbol);
            for (key, value) in &fields {
                ticker = ticker.text(key, value);
            }
            if product == Product::Spot {
                // Unlike the stream, spot's REST ticker has the best prices.
                use crate::types::Side::{Ask, Bid};
                for (side, px, qty) in [(Bid, "bid1Price", "bid1Size"), (Ask, "ask1Price", "ask1Size")] {
                    let level = venue.market(id)?.best(side).unwrap_or_default();
                    ticker = ticker.text(px, json::px(spec, level.px)).text(qty, json::qty(spec, level.qty));
                }
            }
            if let Some(delivery) = public.tape(id).and_then(|tape| tape.delivery_ms()) {
                ticker = ticker.text("deliveryTime", delivery).text("deliveryFeeRate", "0");
            }
            Some(ticker.done())
        });
        let list = json::array(all);
        if wanted.is_some() && list == "[]" {
            return Err(ApiError::param("symbol"));
        }
        Ok(Obj::new().text("category", product.name()).raw("list", list).done().into())
    }

    pub(super) fn orderbook(&mut self, query: &Value, now: Nanos) -> Outcome {
        let (id, spec) = self.exchange.instrument(query)?;
        let depth = limit(query, if spec.product == Product::Spot { 1 } else { 25 }, 1_000)?;
        let mut frames = Vec::new();
        let book = self.public.sync_book(&self.exchange.venue, id, 1_000, now, &mut frames);
        let book = book.ok_or_else(|| ApiError::param("symbol"))?;
        let result = Obj::new()
            .text("s", spec.symbol)
            .raw("b", json::levels(&spec, book.bids.iter().copied().take(depth)))
            .raw("a", json::levels(&spec, book.asks.iter().copied().take(depth)))
            .raw("ts", now.as_millis())
            .raw("u", book.u)
            .raw("seq", book.seq)
            .raw("cts", now.as_millis())
            .done();
        self.fan_out(&mut frames, now);
        Ok(result.into())
    }

    pub(super) fn kline(&self, query: &Value, now: Nanos) -> Outcome {
        let (id, spec) = self.exchange.instrument(query)?;
        let interval = text(query, "interval").and_then(Interval::parse).ok_or_else(|| ApiError::param("interval"))?;
        let from = millis(query, "start")?.map_or(Nanos::ZERO, Nanos::from_millis);
        let to = millis(query, "end")?.map_or(now, Nanos::from_millis).min(now);
        let size = limit(query, 200, 1_000)?;
        let tape = self.public.tape(id).ok_or_else(|| ApiError::param("symbol"))?;
        let list = tape.candles(interval, from, to, size);
        let result = Obj::new()
            .text("symbol", spec.symbol)
            .text("category", spec.product.name())
            .raw("list", json::array(list.iter().map(|candle| tape.listed(candle))));
        Ok(result.done().into())
    }

    pub(super) fn recent_trades(&self, query: &Value) -> Outcome {
        let (id, spec) = self.exchange.instrument(query)?;
        let (default, most) = if spec.product == Product::Spot { (60, 60) } else { (500, 1_000) };
        let size = limit(query, default, most)?;
        let tape = self.public.tape(id).ok_or_else(|| ApiError::param("symbol"))?;
        let list = json::array(tape.recent(size));
        Ok(Obj::new().text("category", spec.product.name()).raw("list", list).done().into())
    }

    /// Every payment had the rate of today: rates do not change here.
    pub(super) fn funding_history(&self, query: &Value, now: Nanos) -> Outcome {
        let (id, spec) = self.exchange.instrument(query)?;
        let size = limit(query, 200, 200)?;
        let (start, end) = (millis(query, "startTime")?, millis(query, "endTime")?);
        if spec.product != Product::Linear || (start.is_some() && end.is_none()) {
            return Err(ApiError::param(if start.is_some() { "endTime" } else { "category" }));
        }
        let tape = self.public.tape(id).ok_or_else(|| ApiError::param("symbol"))?;
        let interval_ms = (tape.funding.interval_ns / 1_000_000).max(1);
        let last = end.unwrap_or(u64::MAX).min(now.as_millis()) / interval_ms * interval_ms;
        let launched = objects::launched_ms(&self.config.listings[id.idx()], self.opened).max(start.unwrap_or(0));
        let all = std::iter::successors(Some(last), |at| at.checked_sub(interval_ms));
        let list = all.take_while(|at| *at >= launched && tape.delivery_ms().is_none()).take(size).map(|at| {
            let payment = Obj::new().text("symbol", spec.symbol).text("fundingRate", tape.funding.rate);
            payment.text("fundingRateTimestamp", at).done()
        });
        Ok(Obj::new().text("category", spec.product.name()).raw("list", json::array(list)).done().into())
    }
}

pub(super) fn time(now: Nanos) -> Answer {
    let nanos = now.get();
    Obj::new().text("timeSecond", nanos / 1_000_000_000).text("timeNano", nanos).done().into()
}
