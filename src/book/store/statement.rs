//! A SQL text with array parameters, prepared once per connection and then only bound and executed.
//!
//! Diesel prepares `sql_query` anew each time; a lane runs the same dozen statements for every batch, so it pays to keep
//! them. A `?` in the text stands for the next parameter.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Untyped};
use uuid::Uuid;

/// One array parameter; element `i` of every array belongs to row `i`.
pub enum Column {
    Uuids(Vec<Uuid>),
    UuidsOrNull(Vec<Option<Uuid>>),
    BigInts(Vec<i64>),
    BigIntsOrNull(Vec<Option<i64>>),
    Integers(Vec<i32>),
    SmallInts(Vec<i16>),
    SmallIntsOrNull(Vec<Option<i16>>),
    Texts(Vec<String>),
    TextsOrNull(Vec<Option<String>>),
    Dates(Vec<NaiveDate>),
    DatesOrNull(Vec<Option<NaiveDate>>),
    Times(Vec<DateTime<Utc>>),
    TimesOrNull(Vec<Option<DateTime<Utc>>>),
    Bools(Vec<bool>),
}

pub struct Statement {
    sql: &'static str,
    columns: Vec<Column>,
}

impl Statement {
    pub fn new(sql: &'static str, columns: Vec<Column>) -> Statement {
        Statement { sql, columns }
    }
}

impl QueryFragment<Pg> for Statement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut columns = self.columns.iter();
        for (i, text) in self.sql.split('?').enumerate() {
            if i > 0 {
                match columns.next() {
                    Some(column) => column.bind(&mut out)?,
                    None => return Err(diesel::result::Error::QueryBuilderError("a parameter is missing".into())),
                }
            }
            out.push_sql(text);
        }
        Ok(())
    }
}

impl Column {
    fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        use diesel::sql_types::Uuid as SqlUuid;
        match self {
            Column::Uuids(v) => out.push_bind_param::<Array<SqlUuid>, _>(v),
            Column::UuidsOrNull(v) => out.push_bind_param::<Array<Nullable<SqlUuid>>, _>(v),
            Column::BigInts(v) => out.push_bind_param::<Array<BigInt>, _>(v),
            Column::BigIntsOrNull(v) => out.push_bind_param::<Array<Nullable<BigInt>>, _>(v),
            Column::Integers(v) => out.push_bind_param::<Array<Integer>, _>(v),
            Column::SmallInts(v) => out.push_bind_param::<Array<SmallInt>, _>(v),
            Column::SmallIntsOrNull(v) => out.push_bind_param::<Array<Nullable<SmallInt>>, _>(v),
            Column::Texts(v) => out.push_bind_param::<Array<Text>, _>(v),
            Column::TextsOrNull(v) => out.push_bind_param::<Array<Nullable<Text>>, _>(v),
            Column::Dates(v) => out.push_bind_param::<Array<Date>, _>(v),
            Column::DatesOrNull(v) => out.push_bind_param::<Array<Nullable<Date>>, _>(v),
            Column::Times(v) => out.push_bind_param::<Array<Timestamptz>, _>(v),
            Column::TimesOrNull(v) => out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(v),
            Column::Bools(v) => out.push_bind_param::<Array<Bool>, _>(v),
        }
    }
}

impl QueryId for Statement {
    type QueryId = ();
    // The SQL text itself is the key of the connection's statement cache.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Statement {}
