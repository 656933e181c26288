//! A SQL text with array parameters, prepared once per connection and then only bound and executed.
//!
//! Diesel prepares `sql_query` anew each time; a lane runs the same dozen statements for every batch, so it pays to keep
//! them. A `?` in the text stands for the next parameter.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Untyped};
use std::marker::PhantomData;
use uuid::Uuid;

/// One array parameter; element `i` of every array belongs to row `i`.
pub enum Column {
    Uuids(Vec<Uuid>),
    UuidsOrNull(Vec<Option<Uuid>>),
    BigInts(Vec<i64>),
    BigIntsOrNull(Vec<Option<i64>>),
    Integers(Vec<i32>),
    IntegersOrNull(Vec<Option<i32>>),
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

    /// The same, its answer read by position as columns of these types: by name, each column of each row is searched for.
    pub fn of_types<T>(self) -> Typed<T> {
        Typed { statement: self, types: PhantomData }
    }
}

/// Lists of numbers, several a row, as columns: all numbers in one array, row after row, then where each list begins and
/// where the row ends, counted from 1. PostgreSQL has no array of arrays of different lengths. In SQL the numbers are
/// a relation of one row, `(SELECT ?::bigint[] AS num) f`, and a list is `f.num[x.this:x.next - 1]`, the last `f.num[x.this:x.end]`.
pub fn lists<const N: usize>(rows: impl Iterator<Item = [Vec<i64>; N]>) -> Vec<Column> {
    let (mut numbers, mut begins, mut ends) = (Vec::new(), vec![Vec::new(); N], Vec::new());
    // A batch is far below two thousand million numbers.
    let place = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    for row in rows {
        for (begins, list) in begins.iter_mut().zip(row) {
            begins.push(place(numbers.len() + 1));
            numbers.extend(list);
        }
        ends.push(place(numbers.len()));
    }
    let places = begins.into_iter().chain([ends]).map(Column::Integers);
    [Column::BigInts(numbers)].into_iter().chain(places).collect()
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
            Column::IntegersOrNull(v) => out.push_bind_param::<Array<Nullable<Integer>>, _>(v),
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

/// Several writings of rows that have nothing to do with each other, sent as one statement: one round trip to the
/// database instead of many. None of them sees what another writes.
#[derive(Default)]
pub struct Group {
    /// With how many rows each must write; see [`Group::execute`].
    counted: Vec<(Statement, usize)>,
    others: Vec<Statement>,
}

impl Group {
    pub fn add(&mut self, statement: Statement) {
        self.others.push(statement);
    }

    /// Adds an `UPDATE` that is to find all its rows.
    pub fn add_counted(&mut self, statement: Statement, rows: usize) {
        self.counted.push((statement, rows));
    }

    /// Writes everything and says whether each counted part wrote its number of rows.
    pub fn execute(self, conn: &mut PgConnection) -> QueryResult<bool> {
        if self.counted.is_empty() && self.others.is_empty() {
            return Ok(true);
        }
        let expected: Vec<i64> = self.counted.iter().map(|(_, rows)| i64::try_from(*rows).unwrap_or(-1)).collect();
        let written: Vec<i64> = self.get_result(conn)?;
        Ok(written == expected)
    }
}

impl QueryFragment<Pg> for Group {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let counted = self.counted.iter().map(|(statement, _)| (statement, " RETURNING 1)"));
        let parts = counted.chain(self.others.iter().map(|statement| (statement, ")")));
        for (i, (statement, end)) in parts.enumerate() {
            out.push_sql(if i == 0 { "WITH p" } else { ", p" });
            out.push_sql(&i.to_string());
            out.push_sql(" AS (");
            statement.walk_ast(out.reborrow())?;
            out.push_sql(end);
        }
        out.push_sql(" SELECT ARRAY[");
        for i in 0..self.counted.len() {
            out.push_sql(if i == 0 { "(SELECT count(*) FROM p" } else { "), (SELECT count(*) FROM p" });
            out.push_sql(&i.to_string());
        }
        out.push_sql(if self.counted.is_empty() { "]::bigint[]" } else { ")]::bigint[]" });
        Ok(())
    }
}

impl QueryId for Group {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Group {
    type SqlType = Array<BigInt>;
}

impl RunQueryDsl<PgConnection> for Group {}

/// A statement whose answer has columns of the types `T`.
pub struct Typed<T> {
    statement: Statement,
    types: PhantomData<T>,
}

impl<T> QueryFragment<Pg> for Typed<T> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.statement.walk_ast(out)
    }
}

impl<T> QueryId for Typed<T> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T> Query for Typed<T> {
    type SqlType = T;
}

impl<T> RunQueryDsl<PgConnection> for Typed<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_lie_one_after_the_other_and_may_be_empty() {
        let columns = lists([[vec![5, 6], vec![]], [vec![], vec![7]]].into_iter());
        let [Column::BigInts(numbers), Column::Integers(first), Column::Integers(second), Column::Integers(end)] =
            columns.as_slice()
        else {
            panic!("four columns")
        };
        assert_eq!(numbers, &[5, 6, 7]);
        assert_eq!((first.as_slice(), second.as_slice(), end.as_slice()), (&[1, 3][..], &[3, 3][..], &[2, 3][..]));
    }
}
