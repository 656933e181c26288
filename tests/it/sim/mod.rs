//! `hanse sim` as a process of its own, called as the alliance calls it.

mod conform;
mod contract;
mod endpoint;
mod faulty;
mod guide;
mod killed;
mod month;
