//! Asks a venue for everything that a scan needs, within its rate limits.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Failure;
use crate::config::Config;
use crate::scan::{Market, Scan, scan};
use crate::types::{Kline, MarketSnapshot, Nanos, Product, Unusable};
use crate::venue::bybit::rest::{FeeRates, RestClient, RestError};
use crate::venue::bybit::{KlineSpan, Listings};

/// Pause between two requests for candles: 40 a second, a third of what the venue allows an address.
const PAUSE: Duration = Duration::from_millis(25);

/// Whether a fee is the account's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeSource {
    /// The venue told what this account pays.
    Account,
    /// The configuration says it.
    Configured,
    /// The venue's ordinary fee is assumed.
    Ordinary,
}

impl FeeSource {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Configured => "configured",
            Self::Ordinary => "ordinary",
        }
    }
}

/// One look at the venue.
pub struct Survey {
    /// The result.
    pub scan: Scan,
    /// What cannot be used, instruments and tickers, with reasons.
    pub unusable: Vec<Unusable>,
    /// Instruments that the venue lists.
    pub listed: usize,
    /// Instruments whose candles could not be had; the range stands in.
    pub without_klines: Vec<Unusable>,
    /// Instruments whose candles were used.
    pub with_klines: usize,
    /// Requests that it took.
    pub requests: u32,
    /// Where fees come from.
    pub fees: FeeSource,
    /// What the market of each symbol was.
    pub snapshots: BTreeMap<String, MarketSnapshot>,
}

/// Who asks, and how it goes on.
pub struct Surveyor<'a> {
    /// The way to the venue.
    pub rest: &'a RestClient,
    /// What to look for.
    pub config: &'a Config,
    /// What the account pays, if it is known.
    pub fees: Option<BTreeMap<String, FeeRates>>,
    /// Told while candles are read: how many of how many.
    pub progress: &'a mut dyn FnMut(usize, usize),
    /// Whether to give up.
    pub must_stop: &'a dyn Fn() -> bool,
}

/// What to say when the venue did not answer as it should.
pub fn rest_failure(base_url: &str, error: &RestError) -> Failure {
    Failure::from(match error {
        RestError::Transport { found, .. } => format!("the venue at {base_url} cannot be reached: {found}"),
        RestError::Status { status: 403, .. } => format!(
            "the venue at {base_url} refuses this address (HTTP 403): too many requests, or the region is not served; it asks for ten minutes of silence"
        ),
        error => format!("{base_url}{error}"),
    })
}

impl Surveyor<'_> {
    /// Lists, looks, filters and ranks.
    ///
    /// # Errors
    /// [`RestError`]. Candles that cannot be had are no error.
    ///
    /// # Cost
    /// One request for tickers, one for each thousand instruments and status, and one for each instrument whose candles are
    /// asked for.
    pub fn survey(&mut self, now: Nanos) -> Result<Survey, RestError> {
        let table = &self.config.scan;
        let product = table.product.product();
        let Listings { found: mut listings, mut unusable, mut requests } = self.rest.listings(product)?;
        let tickers = self.rest.market_snapshots(product)?;
        requests += 1;
        unusable.extend(tickers.unusable);
        unusable.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        let mut fees = FeeSource::Ordinary;
        for listing in &mut listings {
            let spec = &mut listing.spec;
            let told = self.fees.as_ref().and_then(|all| all.get(spec.symbol.as_str()));
            if let Some(maker) = table.maker_fee_bps {
                (spec.maker_fee, fees) = (maker.0, FeeSource::Configured);
            } else if let Some(told) = told {
                (spec.maker_fee, spec.taker_fee, fees) = (told.maker, told.taker, FeeSource::Account);
            }
        }
        let snapshots: BTreeMap<String, MarketSnapshot> =
            tickers.found.into_iter().map(|snapshot| (snapshot.symbol.to_string(), snapshot)).collect();
        let (filters, weights) = (self.config.scan_filters(), self.config.scan_weights());
        let look = |klines: &BTreeMap<String, Vec<Kline>>| {
            let market = |listing| {
                let name = |listing: &crate::types::Listing| listing.spec.symbol.to_string();
                Market {
                    listing,
                    snapshot: snapshots.get(&name(listing)),
                    klines: klines.get(&name(listing)).map_or(&[], Vec::as_slice),
                    kline_min: KlineSpan::Minute.minutes(),
                }
            };
            let markets: Vec<Market<'_>> = listings.iter().map(market).collect();
            scan(&markets, &filters, &weights, now)
        };
        let mut klines = BTreeMap::new();
        let mut found = look(&klines);
        let mut without_klines = Vec::new();
        if table.klines > 0 {
            // Those that are the best by the estimate; what the candles say then decides.
            without_klines = self.read_klines(product, &found.best(table.klines), &mut klines, &mut requests)?;
            found = look(&klines);
        }
        Ok(Survey {
            scan: found,
            unusable,
            listed: listings.len(),
            without_klines,
            with_klines: klines.len(),
            requests,
            fees,
            snapshots,
        })
    }

    fn read_klines(
        &mut self,
        product: Product,
        names: &[String],
        klines: &mut BTreeMap<String, Vec<Kline>>,
        requests: &mut u32,
    ) -> Result<Vec<Unusable>, RestError> {
        let mut failed = Vec::new();
        for (idx, name) in names.iter().enumerate() {
            if (self.must_stop)() {
                break;
            }
            (self.progress)(idx, names.len());
            std::thread::sleep(PAUSE);
            *requests += 1;
            match self.rest.klines(product, name, KlineSpan::Minute, self.config.scan.kline_count) {
                Ok(found) => _ = klines.insert(name.clone(), found),
                // To go on would make it worse.
                Err(error @ (RestError::Status { status: 403, .. } | RestError::Transport { .. })) => {
                    return Err(error);
                }
                Err(error) => failed.push(Unusable { symbol: name.clone(), reason: error.to_string() }),
            }
        }
        (self.progress)(names.len(), names.len());
        Ok(failed)
    }
}
