//! The rules of the exchange: values in, values out. No I/O, clock, randomness, serde, diesel or tokio,
//! so that every rule can be tested by calling a function.
//!
//! A programme's points are whole numbers in its smallest unit; money is whole millionths of the alliance's
//! currency; rates are exact fractions. There is no float anywhere below this module.

pub mod benefit;
pub mod capped;
pub mod catalogue;
pub mod change;
pub mod confirmation;
pub mod crossing;
pub mod cycle;
pub mod delivery;
pub mod expiry;
pub mod holder;
pub mod ids;
pub mod kpi;
pub mod lifecycle;
pub mod link_code;
pub mod lots;
pub mod money;
pub mod network;
pub mod plan;
pub mod points;
pub mod proposal;
pub mod quote;
pub mod rate;
pub mod resolution;
pub mod settings;
pub mod settlement;
pub mod staff;
pub mod staff_log;
pub mod terms;
pub mod text;
pub mod usage;
pub mod voucher;
