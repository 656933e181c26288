//! `hanse rates list|check|publish`: what is in force, what would loop, what both sides approved.

use super::house::Reach;
use super::partners::table;
use super::{Error, Global};
use crate::config::Flags;
use crate::domain::catalogue::{Catalogue, Pair};
use crate::domain::cycle::{Loop, Report};
use crate::domain::ids::Slug;
use crate::domain::rate::TierScope;
use crate::service::proposals::{self, Authority, Mandate, Override, Publish};
use crate::store;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Rates and bonuses in force now, and those that are announced
    List {
        /// Only rates out of this partner
        #[arg(long, value_name = "SLUG")]
        from: Option<String>,
        /// Only rates into this partner
        #[arg(long, value_name = "SLUG")]
        to: Option<String>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Check every loop of brands, open proposals included; exit code 1 when one pays
    Check {
        #[command(flatten)]
        flags: Flags,
    },
    /// Publish every open proposal that has its approvals
    Publish(PublishArgs),
}

#[derive(Debug, clap::Args)]
pub struct PublishArgs {
    /// Publish all open proposals, under the mandate the alliance states
    #[arg(long)]
    mandate: bool,
    /// Publish in spite of loops; two operators must have signed a direction of each
    #[arg(long, requires = "reason")]
    r#override: bool,
    /// Why the loops may stand
    #[arg(long, requires = "override", value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    match action {
        Action::List { from, to, flags } => list(from.as_deref(), to.as_deref(), global, flags),
        Action::Check { flags } => check(global, flags),
        Action::Publish(args) => publish(args, global),
    }
}

fn list(from: Option<&str>, to: Option<&str>, global: &Global, flags: &Flags) -> Result<(), Error> {
    let reach = Reach::open(&global.begin(flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let catalogue = proposals::catalogue(&mut conn).map_err(Error::failed)?;
    let catalogue = catalogue.ok_or_else(|| Error::Failed("nothing was published yet".to_owned()))?;
    let now = store::catalogue::business_now(&mut conn).map_err(Error::failed)?;
    let rows = rows(&catalogue, from, to, now);
    if global.json {
        let items: Vec<Value> = rows.iter().map(Row::as_json).collect();
        println!(
            "{:#}",
            json!({ "catalogue_version": catalogue.version, "business_time": instant(now), "rates": items })
        );
        return Ok(());
    }
    let mut table =
        table(["from", "to", "tier", "give:get", "step", "minimum", "maximum", "bonus", "valid", "version"]);
    for row in &rows {
        table.add_row(row.cells());
    }
    println!("{table}");
    println!("{} rates, catalogue version {}, business time {}", rows.len(), catalogue.version, instant(now));
    Ok(())
}

/// One rate as it is listed.
struct Row<'a> {
    from: &'a Slug,
    to: &'a Slug,
    rate: &'a crate::domain::rate::Rate,
    /// Of all campaigns that add up when the rate begins, or now.
    bonus: i64,
}

fn rows<'a>(catalogue: &'a Catalogue, from: Option<&str>, to: Option<&str>, now: DateTime<Utc>) -> Vec<Row<'a>> {
    let mut pairs: Vec<(&(Slug, Slug), &Pair)> = catalogue.pairs.iter().collect();
    pairs.sort_by_key(|(direction, _)| *direction);
    let wanted = |asked: Option<&str>, slug: &Slug| asked.is_none_or(|asked| asked == slug.as_str());
    let mut rows = Vec::new();
    for ((origin, target), pair) in pairs {
        if !wanted(from, origin) || !wanted(to, target) {
            continue;
        }
        for rate in pair.rates.iter().filter(|rate| rate.ends_at().is_none_or(|end| end > now.max(rate.valid_from))) {
            let bonus = pair.campaigns(tier(&rate.tier), rate.valid_from.max(now));
            let bonus = bonus.iter().map(|campaign| campaign.bonus_basis_points).sum();
            rows.push(Row { from: origin, to: target, rate, bonus });
        }
    }
    rows
}

fn tier(tier: &TierScope) -> &str {
    match tier {
        TierScope::Any => "any",
        TierScope::Only(code) => code,
    }
}

impl Row<'_> {
    fn cells(&self) -> [String; 10] {
        let rate = self.rate;
        let date = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%MZ").to_string();
        let to = rate.ends_at().map(|end| format!(" to {}", date(end))).unwrap_or_default();
        [
            self.from.to_string(),
            self.to.to_string(),
            tier(&rate.tier).to_owned(),
            format!("{}:{}", rate.ratio.den(), rate.ratio.num()),
            rate.step.to_string(),
            rate.minimum.to_string(),
            rate.maximum.map_or_else(|| "-".to_owned(), |maximum| maximum.to_string()),
            if self.bonus == 0 { "-".to_owned() } else { format!("+{}.{:02} %", self.bonus / 100, self.bonus % 100) },
            format!("{}{to}", date(rate.valid_from)),
            rate.version.to_string(),
        ]
    }

    fn as_json(&self) -> Value {
        let rate = self.rate;
        json!({
            "from": self.from.as_str(), "to": self.to.as_str(), "tier": tier(&rate.tier),
            "give": rate.ratio.den(), "get": rate.ratio.num(), "step": rate.step.get(), "minimum": rate.minimum.get(),
            "maximum": rate.maximum.map(|maximum| maximum.get()), "bonus_basis_points": self.bonus,
            "valid_from": instant(rate.valid_from), "valid_to": rate.ends_at().map(instant), "version": rate.version,
        })
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn check(global: &Global, flags: &Flags) -> Result<(), Error> {
    let reach = Reach::open(&global.begin(flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let report = proposals::check(&mut conn).map_err(Error::failed)?;
    if global.json {
        println!("{:#}", report_json(&report));
    } else {
        print_report(&report);
    }
    judge(&report)
}

fn publish(args: &PublishArgs, global: &Global) -> Result<(), Error> {
    let reach = Reach::unpublished(&global.begin(&args.flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let authority = if args.mandate { Authority::Mandate(Mandate) } else { Authority::Approvals };
    let force = args.reason.as_ref().filter(|_| args.r#override).map(|reason| Override { reason: reason.clone() });
    let outcome = proposals::publish(&mut conn, authority, force.as_ref()).map_err(Error::failed)?;
    if global.json {
        println!("{:#}", publish_json(&outcome));
        return Ok(());
    }
    for (id, subject) in &outcome.published {
        println!("published {subject} ({id})");
    }
    for (id, subject, missing) in &outcome.waiting {
        let missing: Vec<&str> = missing.iter().map(Slug::as_str).collect();
        println!("waiting   {subject} ({id}) for {}", missing.join(" and "));
    }
    for found in &outcome.overridden {
        println!("override  {found}");
    }
    for found in &outcome.by_waiting {
        println!("warning   for who waits: {found}");
    }
    println!(
        "{} published, {} waiting; catalogue version {}",
        outcome.published.len(),
        outcome.waiting.len(),
        outcome.version
    );
    Ok(())
}

fn publish_json(outcome: &Publish) -> Value {
    let published =
        outcome.published.iter().map(|(id, subject)| json!({ "id": id.to_string(), "subject": subject.to_string() }));
    let waiting = outcome.waiting.iter().map(|(id, subject, missing)| {
        let missing: Vec<&str> = missing.iter().map(Slug::as_str).collect();
        json!({ "id": id.to_string(), "subject": subject.to_string(), "missing": missing })
    });
    json!({
        "catalogue_version": outcome.version,
        "published": published.collect::<Vec<_>>(), "waiting": waiting.collect::<Vec<_>>(),
        "overridden": outcome.overridden.iter().map(loop_json).collect::<Vec<_>>(),
        "by_waiting": outcome.by_waiting.iter().map(loop_json).collect::<Vec<_>>(),
    })
}

pub(super) fn report_json(report: &Report) -> Value {
    json!({
        "intervals": report.intervals, "directions": report.directions,
        "loops": report.loops.iter().map(loop_json).collect::<Vec<_>>(),
        "by_waiting": report.by_waiting.iter().map(loop_json).collect::<Vec<_>>(),
    })
}

fn loop_json(found: &Loop) -> Value {
    json!({
        "brands": found.brands.iter().map(Slug::as_str).collect::<Vec<_>>(),
        "product": found.product.to_string(), "excess_basis_points": found.excess_basis_points(),
        "from": instant(found.from), "to": found.to.map(instant),
    })
}

pub(super) fn print_report(report: &Report) {
    for found in &report.loops {
        println!("loop      {found}");
    }
    for found in &report.by_waiting {
        println!("warning   for who waits: {found}");
    }
    if report.loops.is_empty() {
        println!("no loop pays: {} directions in {} intervals", report.directions, report.intervals);
    }
}

/// Fails when a loop pays.
pub(super) fn judge(report: &Report) -> Result<(), Error> {
    match report.loops.len() {
        0 => Ok(()),
        loops => Err(Error::Failed(format!("{loops} loops make points for who goes round"))),
    }
}
