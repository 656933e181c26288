//! Two months of an alliance, from a seed: people who shop, convert points, change their minds, take benefits and use them, and
//! two months that end. Everything goes through the partner API under the sandbox's clock, which it moves on day by day.
//!
//! A new demo begins with it; one that has members already is left as it is. The same seed and people give the same figures:
//! nobody does two things of a day that hang on each other's time, and what crosses between two ledgers has arrived before the
//! day goes on.

mod benefits;
mod months;
mod people;
mod points;

use super::chance::Chance;
use super::client::Client;
use super::prepare::OPERATOR;
use super::remotes;
use super::story::Place;
use super::stream::{BRANDS, style};
use super::travel::grouped;
use crate::cli::Error;
use crate::cli::sim::control::Control;
use crate::service::clock;
use benefits::{Held, Offered};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use indicatif::ProgressBar;
use points::Made;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// From the first of January over two month ends.
const DAYS: usize = 60;
/// People of a history, unless it is said how many: 65 in 100 on the lowest rung, 30 in the middle, 5 on top.
pub const PEOPLE: usize = 240;
const SEED: u64 = 0x4861_6e73_6532_3032;
/// When a day's business begins, in the alliance's zone.
const OPENS: u32 = 10;

/// What has happened, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    pub seed: u64,
    pub people: usize,
    pub days: usize,
    pub first_day: Option<NaiveDate>,
    pub last_day: Option<NaiveDate>,
    pub purchases: u64,
    pub points_earned: i64,
    pub conversions: u64,
    /// Directions over which points have gone.
    pub pairs: usize,
    /// At once, or by a partner's own ledger.
    pub conversions_refused: u64,
    pub undone: u64,
    pub reversed: u64,
    pub vouchers: u64,
    pub claims_refused: u64,
    pub uses: u64,
    pub windows: Vec<Window>,
    pub disputes: u64,
    pub payments: u64,
}

/// A month that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    pub number: i64,
    pub last_day: NaiveDate,
    /// Lines of every partner, and what each is owed, negative where it owes.
    pub partners: BTreeMap<String, (i64, String)>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |count: u64| grouped(i64::try_from(count).unwrap_or(i64::MAX));
        let day = |day: Option<NaiveDate>| day.map(|day| day.to_string()).unwrap_or_default();
        write!(
            f,
            "{} people from {} to {}: {} purchases, {} conversions over {} pairs, {} undone, {} reversed, {} vouchers, {} uses, \
             {} months signed",
            self.people,
            day(self.first_day),
            day(self.last_day),
            number(self.purchases),
            number(self.conversions),
            self.pairs,
            number(self.undone),
            number(self.reversed),
            number(self.vouchers),
            number(self.uses),
            self.windows.len(),
        )
    }
}

/// One who plays it.
struct History<'a> {
    place: &'a Place,
    /// By the brand's place among the brands.
    clients: Vec<Client>,
    controls: BTreeMap<usize, &'a Control>,
    operator: Client,
    chance: Chance,
    /// The business day, and how many went before it.
    day: NaiveDate,
    nth: usize,
    pairs: BTreeSet<(usize, usize)>,
    /// Conversions that may still be reversed.
    made: Vec<Made>,
    offered: Vec<Offered>,
    /// Vouchers by the day on which they are used.
    held: BTreeMap<NaiveDate, Vec<Held>>,
    figures: Figures,
}

/// Plays it with so many people. `None`, and nothing done, where there are members already.
pub async fn play(place: &Place, people: usize) -> Result<Option<Figures>, Error> {
    let mut history = History::open(place, people).await?;
    if !history.is_new().await? {
        return Ok(None);
    }
    let bar = ProgressBar::new(u64::try_from(DAYS).unwrap_or(0));
    bar.set_style(style("  history {bar:32} {pos}/{len} days  {msg}"));
    // What goes wrong at a partner now and then is for those who look on; by chance of another kind, figures would differ.
    history.faults(|_| "").await?;
    let told = history.tell(&bar).await;
    history.faults(remotes::faults).await?;
    bar.finish_and_clear();
    told.map(|()| Some(history.figures))
}

impl<'a> History<'a> {
    async fn open(place: &'a Place, people: usize) -> Result<History<'a>, Error> {
        let open = |name: &str| Client::open(&place.api, &place.pki, name).map_err(Error::failed);
        let clients = BRANDS.iter().map(|brand| open(brand.slug)).collect::<Result<Vec<_>, _>>()?;
        let kept = place.controls.iter().filter_map(|(slug, control)| {
            Some((BRANDS.iter().position(|brand| brand.slug == slug.as_str())?, control))
        });
        let now = now(place).await?;
        let figures = Figures { seed: SEED, people, days: DAYS, ..Figures::default() };
        Ok(History {
            place,
            clients,
            controls: kept.collect(),
            operator: open(OPERATOR)?,
            chance: Chance::new(SEED),
            day: now.with_timezone(&place.zone).date_naive(),
            nth: 0,
            pairs: BTreeSet::new(),
            made: Vec::new(),
            offered: Vec::new(),
            held: BTreeMap::new(),
            figures,
        })
    }

    /// Nobody is a member of anything.
    async fn is_new(&self) -> Result<bool, Error> {
        for client in &self.clients {
            let slug: Option<crate::domain::ids::Slug> = client.name().parse().ok();
            // A brand with a ledger of its own has told of its members already, whom the stream is about.
            if slug.is_some_and(|slug| self.place.controls.contains_key(&slug)) {
                continue;
            }
            let reply = client.get("/v1/memberships?limit=1").await.map_err(Error::failed)?;
            if reply.at("/items").as_array().is_none_or(|members| !members.is_empty()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn faults(&self, of: fn(&str) -> &'static str) -> Result<(), Error> {
        for (brand, control) in &self.controls {
            control.faults(of(BRANDS[*brand].slug)).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, bar: &ProgressBar) -> Result<(), Error> {
        bar.set_message("members 会员");
        self.opens().await?;
        self.join().await?;
        self.offered = self.offers().await?;
        self.figures.first_day = Some(self.day);
        for nth in 0..DAYS {
            if nth > 0 {
                self.next_day().await?;
            }
            self.nth = nth;
            bar.set_message(self.day.to_string());
            self.business().await?;
            bar.inc(1);
        }
        self.figures.last_day = Some(self.day);
        self.figures.pairs = self.pairs.len();
        Ok(())
    }

    /// A day.
    async fn business(&mut self) -> Result<(), Error> {
        if self.nth > 0 && self.day.day() == 1 {
            self.month_ends().await?;
        }
        self.shop().await?;
        self.convert().await?;
        self.claim().await?;
        self.redeem().await?;
        self.settle().await
    }

    /// The first day begins, if it has not.
    async fn opens(&self) -> Result<(), Error> {
        let opens = NaiveTime::from_hms_opt(OPENS, 0, 0).unwrap_or_default();
        let opens = self.place.zone.from_local_datetime(&self.day.and_time(opens)).earliest();
        let now = now(self.place).await?;
        match opens.map(|opens| opens.to_utc() - now) {
            Some(early) if early > TimeDelta::zero() => self.advance(early).await,
            Some(_) | None => Ok(()),
        }
    }

    async fn next_day(&mut self) -> Result<(), Error> {
        self.advance(TimeDelta::days(1)).await?;
        self.day = now(self.place).await?.with_timezone(&self.place.zone).date_naive();
        Ok(())
    }

    async fn advance(&self, by: TimeDelta) -> Result<(), Error> {
        let moved = self.place.database.run(move |conn| clock::advance(conn, by)).await;
        moved.map(drop).map_err(Error::failed)
    }

    fn is_weekend(&self) -> bool {
        matches!(self.day.weekday(), Weekday::Sat | Weekday::Sun)
    }

    /// So many of a hundred people, twice as many on a weekend, and at least one.
    fn share(&self, of_hundred: usize) -> usize {
        let twice = if self.is_weekend() { 2 } else { 1 };
        (self.figures.people * of_hundred * twice / 100).clamp(1, self.figures.people.max(1))
    }

    /// A key or reference of this day.
    fn named(&self, name: &str) -> String {
        format!("history-{}-{name}", self.day)
    }
}

async fn now(place: &Place) -> Result<DateTime<Utc>, Error> {
    place.database.run(clock::now).await.map_err(Error::failed)
}
