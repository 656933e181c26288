//! The integration tests: one binary, so that it links once and shares one private PostgreSQL.

mod book;
mod cli;
mod embedded_pg;
mod store;
mod support;
