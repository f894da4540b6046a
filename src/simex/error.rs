//! The venue's refusals as its clients see them.

use crate::{sim::Refusal, types::Product};

/// A code of the venue with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub code: i32,
    pub msg: String,
}

impl ApiError {
    pub fn new(code: i32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into() }
    }

    /// A missing or unusable parameter.
    pub fn param(name: &str) -> Self {
        Self::new(10001, format!("params error: {name} invalid"))
    }

    pub fn of(refusal: Refusal, product: Product) -> Self {
        let spot = product == Product::Spot;
        let (code, msg) = match refusal {
            Refusal::Unknown => (10001, "params error: symbol invalid".to_owned()),
            Refusal::BadPrice => (10001, "params error: price invalid".to_owned()),
            Refusal::BadQty { .. } => (10001, "params error: qty invalid".to_owned()),
            Refusal::SmallNotional { min, .. } => {
                let code = if spot { 170_140 } else { 110_094 };
                (code, format!("Order does not meet minimum order value {min}USDT"))
            }
            Refusal::DuplicateLink => (if spot { 170_141 } else { 110_072 }, "OrderLinkedID is duplicate".to_owned()),
            Refusal::UnknownOrder => {
                let code = if spot { 170_213 } else { 110_001 };
                (code, "order not exists or too late to cancel".to_owned())
            }
            Refusal::NothingToAmend => (10001, "params error: order not modified".to_owned()),
            Refusal::BelowFilled => {
                (if spot { 170_313 } else { 110_064 }, "qty must be above the filled qty".to_owned())
            }
            Refusal::Margin => (if spot { 170_131 } else { 110_007 }, "ab not enough for new order".to_owned()),
            Refusal::ReduceOnly => (110_017, "current position is zero, cannot fix reduce-only order qty".to_owned()),
            Refusal::TooManyOrders { max } => (110_020, format!("not allowed to have more than {max} active orders")),
            Refusal::TriggerPassed { trigger } => {
                (110_093, format!("expect Falling, but trigger_price[{}] was passed", trigger.get()))
            }
            Refusal::NoMarket => (110_118, "no market price available".to_owned()),
        };
        Self { code, msg }
    }
}
