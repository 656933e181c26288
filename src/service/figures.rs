//! The alliance in figures: counts what was sealed, and works out key figures by brand and day from what was counted.
//!
//! A partner sees its own brand, the pairs it is a side of and the benefits it gives or its members use; the operator all.

use super::settlement::reports::Heading;
use crate::book::engine::account::EntryKind;
use crate::book::figures::{self, Counted};
use crate::book::store::Error as BookError;
use crate::domain::capped::{plus, total};
use crate::domain::catalogue::{Catalogue, Partner};
use crate::domain::ids::Slug;
use crate::domain::kpi::{self, Bound, Bounds, Day, FLOW_DAYS, JUDGED_FROM, Kpi, LATE_DAYS, Points};
use crate::domain::plan::day_start;
use crate::store::figures::{self as stored, BoundRow, MonthRow, WaitRow};
pub use crate::store::figures::{BenefitRow, PairRow};
use crate::store::settlement::reports;
use crate::store::{self, catalogue};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use diesel::{Connection, PgConnection};
use std::collections::BTreeMap;

/// Days of one board.
pub const DAYS_MAX: u64 = 400;
/// Months that are over and are worked out in one run.
const ENDED_MAX: i64 = 3;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the book cannot be read: {0}")]
    Book(#[from] BookError),
    #[error("{0}")]
    Refused(String),
    #[error("broken: {0}")]
    Broken(String),
}

impl From<diesel::result::Error> for Error {
    fn from(cause: diesel::result::Error) -> Error {
        Error::Store(cause.into())
    }
}

/// Which days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The last of them, at most today.
    pub last: NaiveDate,
    pub days: u64,
}

impl Period {
    pub fn first(&self) -> NaiveDate {
        back(self.last, self.days.clamp(1, DAYS_MAX) - 1)
    }
}

fn back(day: NaiveDate, days: u64) -> NaiveDate {
    day.checked_sub_days(Days::new(days)).unwrap_or(day)
}

/// One figure of one brand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    pub kpi: Kpi,
    /// `None`: nothing to take a share of, or of a brand that keeps its own accounts.
    pub value: Option<i64>,
    pub bounds: Bounds,
    pub is_crossed: bool,
}

/// One brand, day by day and in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brand {
    pub slug: Slug,
    /// Its accounts are kept here: others' balances are theirs to know.
    pub is_hosted: bool,
    pub points: Points,
    /// Conversions of its points, by day.
    pub conversions: Vec<i64>,
    /// Uses of its benefits, by day, less those taken back.
    pub uses: Vec<i64>,
    pub figures: Vec<Figure>,
}

/// Everything that is on one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    pub first: NaiveDate,
    pub last: NaiveDate,
    pub brands: Vec<Brand>,
    pub pairs: Vec<PairRow>,
    pub benefits: Vec<BenefitRow>,
    /// Batches that are committed and not counted yet.
    pub uncounted: i64,
}

impl Board {
    pub fn days(&self) -> impl Iterator<Item = NaiveDate> {
        self.first.iter_days().take_while(|day| *day <= self.last)
    }
}

/// What is read for a board.
struct Found {
    openings: BTreeMap<String, i64>,
    days: Vec<stored::DayRow>,
    /// From `FLOW_DAYS` before the last day on, or from the first.
    pairs: Vec<PairRow>,
    waits: Vec<WaitRow>,
    benefits: Vec<BenefitRow>,
    months: Vec<MonthRow>,
    bounds: Vec<Bound>,
    uncounted: i64,
}

/// Works out a period for one partner, or for everybody; `last` is no later than today.
pub fn board(
    conn: &mut PgConnection,
    catalogue: &Catalogue,
    whose: Option<&Slug>,
    last: Option<NaiveDate>,
    days: u64,
) -> Result<Board, Error> {
    conn.build_transaction().read_only().repeatable_read().run(|conn| {
        let today = catalogue::business_day(conn, catalogue.alliance.zone)?;
        let period = Period { last: last.map_or(today, |last| last.min(today)), days };
        let found = find(conn, whose, &period)?;
        let (first, last) = (period.first(), period.last);
        let own = catalogue.partners.iter().filter(|(slug, _)| whose.is_none_or(|whose| whose == *slug));
        let brands = own.map(|(slug, partner)| brand(slug, partner, &found, &period)).collect::<Result<_, Error>>()?;
        let pairs = found.pairs.into_iter().filter(|row| row.day >= first).collect();
        Ok(Board { first, last, brands, pairs, benefits: found.benefits, uncounted: found.uncounted })
    })
}

/// Works out the present month of every brand, and some of those that are over and not final.
pub fn work_out(conn: &mut PgConnection) -> Result<(), Error> {
    let zone = catalogue::load(conn)?.alliance.zone;
    let now = catalogue::business_now(conn)?;
    let month = first_of(now.with_timezone(&zone).date_naive());
    work_out_month(conn, month, now, false)?;
    for ended in stored::open_months(conn, first_of(back(month, 1)), ENDED_MAX)? {
        let next = ended.checked_add_months(Months::new(1)).unwrap_or(month);
        let closes = day_start(zone, next.checked_add_days(Days::new(LATE_DAYS)).unwrap_or(next));
        // Asked first: what is counted while it is worked out is only more.
        let is_final = now >= closes && stored::is_counted_before(conn, closes)?;
        // Its last instant is the other's first.
        work_out_month(conn, ended, day_start(zone, next), is_final)?;
    }
    Ok(())
}

fn work_out_month(conn: &mut PgConnection, month: NaiveDate, at: DateTime<Utc>, is_final: bool) -> Result<(), Error> {
    conn.transaction(|conn| {
        reports::begin(conn)?;
        Ok(stored::work_out(conn, month, at, is_final)?)
    })
}

fn first_of(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

fn find(conn: &mut PgConnection, whose: Option<&Slug>, period: &Period) -> Result<Found, Error> {
    let whose = whose.map(Slug::as_str);
    let range = (period.first(), period.last);
    let compared = back(period.last, FLOW_DAYS.unsigned_abs()).min(range.0);
    let month = first_of(period.last);
    Ok(Found {
        openings: stored::outstanding_before(conn, range.0)?.into_iter().collect(),
        days: stored::days(conn, whose, range)?,
        pairs: stored::pairs(conn, whose, (compared, range.1))?,
        waits: stored::waits(conn, whose, range)?,
        benefits: stored::benefits(conn, whose, range)?,
        months: stored::month(conn, whose, month)?,
        bounds: bounds(conn)?,
        uncounted: stored::uncounted(conn)?,
    })
}

/// Every bound that was set; of a figure that is no more there are none.
fn bounds(conn: &mut PgConnection) -> Result<Vec<Bound>, Error> {
    let bound = |row: BoundRow| {
        let partner = if row.partner.is_empty() { None } else { Some(row.partner.parse().ok()?) };
        let bounds = Bounds { at_least: row.at_least, at_most: row.at_most };
        Some(Bound { kpi: Kpi::parse(&row.kpi)?, partner, bounds })
    };
    Ok(stored::bounds(conn)?.into_iter().filter_map(bound).collect())
}

fn brand(slug: &Slug, partner: &Partner, found: &Found, period: &Period) -> Result<Brand, Error> {
    let first = period.first();
    let length = usize::try_from((period.last - first).num_days() + 1).unwrap_or(1);
    let place = |day: NaiveDate| usize::try_from((day - first).num_days()).ok().filter(|at| *at < length);
    let opening = found.openings.get(slug.as_str()).copied().unwrap_or(0);
    let mut points = Points { opening, days: vec![Day::default(); length] };
    for row in found.days.iter().filter(|row| row.partner == slug.as_str()) {
        let kind =
            EntryKind::from_number(row.kind).ok_or_else(|| Error::Broken(format!("entries of kind {}", row.kind)))?;
        if let Some(at) = place(row.day) {
            let sum = heading(&mut points.days[at], Heading::of(kind));
            *sum = plus(*sum, row.points);
        }
    }
    let (mut conversions, mut uses) = (vec![0; length], vec![0; length]);
    for row in found.pairs.iter().filter(|row| row.from_partner == slug.as_str()) {
        if let Some(at) = place(row.day) {
            conversions[at] += row.conversions;
        }
    }
    for row in found.benefits.iter().filter(|row| row.giver == slug.as_str()) {
        if let Some(at) = place(row.day) {
            uses[at] += row.redeemed - row.taken_back;
        }
    }
    let mut made =
        Brand { slug: slug.clone(), is_hosted: partner.hosted, points, conversions, uses, figures: Vec::new() };
    made.figures = Kpi::all().map(|kpi| figure(kpi, &made, partner, found, period)).collect();
    Ok(made)
}

fn heading(day: &mut Day, heading: Heading) -> &mut i64 {
    match heading {
        Heading::Issued => &mut day.issued,
        Heading::In => &mut day.converted_in,
        Heading::Out => &mut day.converted_out,
        Heading::Redeemed => &mut day.redeemed,
        Heading::Expired => &mut day.expired,
        Heading::Adjusted => &mut day.adjusted,
    }
}

/// A value, and of how many it is a share: of few it is not judged.
type Measured = (Option<i64>, i64);

fn figure(kpi: Kpi, brand: &Brand, partner: &Partner, found: &Found, period: &Period) -> Figure {
    let (value, of) = measure(kpi, brand, partner, found, period);
    let bounds = kpi::bounds_of(kpi, &brand.slug, &found.bounds);
    let is_crossed = of >= JUDGED_FROM && value.is_some_and(|value| bounds.is_crossed_by(value));
    Figure { kpi, value, bounds, is_crossed }
}

fn measure(kpi: Kpi, brand: &Brand, partner: &Partner, found: &Found, period: &Period) -> Measured {
    let hosted = |value: Option<i64>| (value.filter(|_| brand.is_hosted), i64::MAX);
    let month = found.months.iter().find(|row| row.partner == brand.slug.as_str());
    let share = |part: i64, of: i64| (kpi::share(part, of), of);
    let of_month = |pick: fn(&MonthRow) -> (i64, i64)| month.map_or((None, 0), |row| share(pick(row).0, pick(row).1));
    let own = || found.pairs.iter().filter(|row| row.from_partner == brand.slug.as_str() && row.day >= period.first());
    let posted: i64 = brand.conversions.iter().sum();
    match kpi {
        Kpi::UsageRate => of_month(|row| (row.converted, row.linked)),
        Kpi::Retention => of_month(|row| (row.kept, row.before)),
        Kpi::Repurchase => of_month(|row| (row.again, row.bought)),
        Kpi::RevenueShare => {
            (month.and_then(|row| kpi::share(row.spent_linked, row.spent)), month.map_or(0, |row| row.bought))
        }
        Kpi::BurnVelocity => hosted(brand.points.burn_velocity()),
        Kpi::BurnRatio => hosted(brand.points.burn_ratio()),
        Kpi::Breakage => hosted(brand.points.breakage()),
        Kpi::Liability => hosted(brand.points.closing().checked_mul(partner.programme.unit_cost.get())),
        Kpi::Completion => share(posted, posted + own().map(|row| row.released).sum::<i64>()),
        Kpi::TakenBack => share(own().map(|row| row.taken_back).sum(), posted),
        Kpi::TimeToPost => waited(&found.waits, &brand.slug),
        Kpi::Flow => (flow(&found.pairs, &brand.slug, period.last), i64::MAX),
        Kpi::BenefitUses => (Some(brand.uses.iter().sum()), i64::MAX),
        Kpi::BenefitCost => {
            let given = found.benefits.iter().filter(|row| row.giver == brand.slug.as_str());
            (Some(total(given.map(|row| row.cost))), i64::MAX)
        }
    }
}

fn waited(waits: &[WaitRow], slug: &Slug) -> Measured {
    let own = waits.iter().filter(|row| row.from_partner == slug.as_str());
    let counts: Vec<(i16, i64)> = own.map(|row| (row.step, row.conversions)).collect();
    (kpi::within(&counts, 95), counts.iter().map(|(_, count)| count).sum())
}

/// Of the pairs of a brand with enough conversions on the last day the one that is farthest above its mean.
fn flow(pairs: &[PairRow], slug: &Slug, last: NaiveDate) -> Option<i64> {
    let length = usize::try_from(FLOW_DAYS).unwrap_or(1);
    // Of each counterparty: net value by day, the last day at the end, and the conversions of that day.
    let mut all: BTreeMap<&str, (Vec<i64>, i64)> = BTreeMap::new();
    for row in pairs {
        let (other, sign) = match slug.as_str() {
            own if own == row.from_partner => (&row.to_partner, -1),
            own if own == row.to_partner => (&row.from_partner, 1),
            _ => continue,
        };
        let Some(at) = usize::try_from((last - row.day).num_days()).ok().filter(|at| *at <= length) else { continue };
        let (net, conversions) = all.entry(other).or_insert_with(|| (vec![0; length + 1], 0));
        net[length - at] = plus(net[length - at], sign * plus(row.value, -row.value_back));
        *conversions += if at == 0 { row.conversions } else { 0 };
    }
    let enough = all.values().filter(|(_, conversions)| *conversions >= JUDGED_FROM);
    enough.filter_map(|(net, _)| net.split_last().and_then(|(last, before)| kpi::flow(before, *last))).max()
}

/// Where figures are to stay, as it was said.
pub fn all_bounds(conn: &mut PgConnection) -> Result<Vec<BoundRow>, Error> {
    Ok(stored::bounds(conn)?)
}

/// Sets a bound for one brand, or for every one that has none of its own.
pub fn set_bound(
    conn: &mut PgConnection,
    kpi: Kpi,
    partner: Option<&Slug>,
    bounds: Bounds,
    by: &str,
) -> Result<(), Error> {
    if bounds.at_least.zip(bounds.at_most).is_some_and(|(least, most)| least > most) {
        return Err(Error::Refused("the lower bound is above the upper one".to_owned()));
    }
    if let Some(slug) = partner {
        let catalogue = catalogue::load(conn)?;
        if !catalogue.partners.contains_key(slug) {
            return Err(Error::Refused(format!("there is no partner {slug}")));
        }
    }
    let partner = partner.map_or("", Slug::as_str);
    Ok(stored::set_bound(conn, (kpi.code(), partner), (bounds.at_least, bounds.at_most), by)?)
}

/// What is usual holds again; whether something else had been said.
pub fn clear_bound(conn: &mut PgConnection, kpi: Kpi, partner: Option<&Slug>) -> Result<bool, Error> {
    Ok(stored::clear_bound(conn, (kpi.code(), partner.map_or("", Slug::as_str)))?)
}

/// The one who counts, with a connection of its own; made again after the database was away.
pub struct Counting {
    url: String,
    conn: Option<PgConnection>,
}

/// A figure that is out of its bounds.
pub type Crossed = (Slug, Kpi);

impl Counting {
    pub fn new(url: &str) -> Counting {
        Counting { url: url.to_owned(), conn: None }
    }

    /// Counts some of what is sealed.
    pub fn count(&mut self) -> Result<Counted, Error> {
        self.with(|conn| Ok(figures::count(conn)?))
    }

    /// What is out of bounds in the last thirty days, as far as it is counted; months are worked out before.
    pub fn crossed(&mut self) -> Result<Vec<Crossed>, Error> {
        self.with(|conn| {
            work_out(conn)?;
            let catalogue = catalogue::load(conn)?;
            let board = board(conn, &catalogue, None, None, 30)?;
            let of = |brand: Brand| {
                let crossed = brand.figures.into_iter().filter(|figure| figure.is_crossed);
                crossed.map(|figure| (brand.slug.clone(), figure.kpi)).collect::<Vec<_>>()
            };
            Ok(board.brands.into_iter().flat_map(of).collect())
        })
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut PgConnection) -> Result<T, Error>) -> Result<T, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => store::establish(&self.url)?,
        };
        let done = work(&mut conn)?;
        self.conn = Some(conn);
        Ok(done)
    }
}
