//! Hanse.
fn main() {}
