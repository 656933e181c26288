//! What is not settled yet, against the stop lines, as it stands now.

use crate::book::exposures::ExposureKey;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use crate::service::exchange::{Error, Exchange, seen_by};
use crate::store::settlement::reports;
use diesel::PgConnection;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// The net of one partner: what it would pay if all were netted now, negative when it would be paid.
    Partner(Slug),
    /// Gross of the lines of one direction.
    Pair(Slug, Slug),
}

/// How near a stop line is: where the book warns and where it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Within,
    /// Four fifths or more.
    Warned,
    Reached,
}

impl Level {
    /// Of a value and its line, in millionths.
    pub fn of(value: i64, cap: i64) -> Level {
        match () {
            () if value >= cap => Level::Reached,
            () if value >= cap / 5 * 4 => Level::Warned,
            () => Level::Within,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    pub of: Of,
    pub value: Millionths,
    /// `None`: no line was agreed.
    pub cap: Option<Millionths>,
}

impl Exposure {
    pub fn level(&self) -> Level {
        self.cap.map_or(Level::Within, |cap| Level::of(self.value.get(), cap.get()))
    }
}

/// All that the reader is a side of.
pub async fn list(exchange: &Exchange, reader: &Holder) -> Result<Vec<Exposure>, Error> {
    let own = seen_by(reader).cloned();
    let unit = move |conn: &mut PgConnection| {
        let is_seen = |slug: &Slug| own.as_ref().is_none_or(|own| own == slug);
        let mut found = Vec::new();
        for row in reports::exposures(conn)? {
            let of = match ExposureKey::parse(&row.key).ok_or(Error::Broken("an exposure's key cannot be read"))? {
                ExposureKey::Partner(slug) if is_seen(&slug) => Of::Partner(slug),
                ExposureKey::Pair(from, to) if is_seen(&from) || is_seen(&to) => Of::Pair(from, to),
                ExposureKey::Partner(_) | ExposureKey::Pair(..) => continue,
            };
            found.push(Exposure { of, value: Millionths::new(row.value), cap: row.cap.map(Millionths::new) });
        }
        Ok::<_, Error>(found)
    };
    exchange.database.run(unit).await
}
