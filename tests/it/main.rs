//! The integration tests: one binary, so that it links once and shares one private PostgreSQL.

mod api;
mod bench;
mod bodies;
mod book;
mod catalogue;
mod cli;
mod crossings;
mod delivery;
mod demo;
mod embedded_pg;
mod enrolment;
mod faults;
mod identity;
mod joining;
mod keys;
mod pki;
mod readme;
mod resolutions;
mod settlement;
mod signing_keys;
mod sim;
mod staff;
mod store;
mod support;
mod tls;
mod watch;
