//! Conversions over two ledgers, with the program itself and two simulated partners that are real: their own processes,
//! stores and certificates.

mod faults;
mod matrix;
mod stage;
mod taken_back;
mod volume;
