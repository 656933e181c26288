//! What a conversion would give: a quote in a member's words, with the form that carries it out.

use super::session::Member;
use super::shell::Shell;
use crate::domain::expiry::Expiry;
use crate::domain::ids::Slug;
use crate::domain::points::Points;
use crate::http::Problem;
use crate::service::answer::arrives_by;
use crate::service::command::{ConversionRow, Direction, Want};
use crate::service::exchange::{Error, Exchange};
use crate::service::member_view;
use crate::service::quotes::{self, Quote, Wanted};
use crate::web::lang::Lang;
use crate::web::trouble;
use askama::Template;
use chrono::NaiveDate;
use serde::Deserialize;
use uuid::Uuid;

/// From where to where, and how much, as the form says it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Asked {
    /// `to.<partner>` or `from.<partner>`.
    #[serde(default)]
    pub direction: String,
    #[serde(default)]
    pub points: String,
}

impl Asked {
    fn read(&self) -> Option<(Direction, Points)> {
        let (way, other) = self.direction.split_once('.')?;
        let other: Slug = other.parse().ok()?;
        let direction = match way {
            "to" => Direction::To(other),
            "from" => Direction::From(other),
            _ => return None,
        };
        let typed: String = self.points.chars().filter(|c| !matches!(c, ',' | ' ' | '，')).collect();
        let points = typed.parse().ok().and_then(Points::new).filter(|points| !points.is_zero())?;
        Some((direction, points))
    }
}

/// What is shown of a quote.
pub struct Offer {
    pub give: String,
    pub give_name: String,
    pub get: String,
    pub get_name: String,
    /// What is left of the balance; absent where a brand keeps it itself.
    pub keep: Option<String>,
    /// What of the points asked for no step takes.
    pub spare: Option<String>,
    pub bonuses: Vec<String>,
    pub rate: String,
    pub rate_ends: Option<String>,
    pub tier: String,
    pub arrives: String,
    pub lots: Vec<Arriving>,
    pub is_mortal: bool,
    pub undo: Option<String>,
    pub offer_until: String,
    pub token: String,
    /// Once for each form that is shown, so that a form sent twice is one conversion.
    pub key: String,
}

/// Points that will arrive together.
pub struct Arriving {
    pub text: String,
    pub why: &'static str,
}

/// The fragment that a script asks for, and part of the page without one.
#[derive(Template)]
#[template(path = "member/offer.html")]
pub struct OfferPart<'a> {
    pub shell: &'a Shell,
    pub offer: Option<Offer>,
    pub no: Option<String>,
}

/// Asks for a quote; a no is part of the page, not its end.
pub async fn ask<'a>(exchange: &Exchange, member: &Member, shell: &'a Shell, asked: &Asked) -> OfferPart<'a> {
    let Some((direction, points)) = asked.read() else {
        let no = (!asked.points.is_empty()).then(|| member.lang.why_invalid().to_owned());
        return OfferPart { shell, offer: None, no };
    };
    let wanted = Wanted { member_ref: member.session.member_ref.clone(), direction, want: Want::Points(points) };
    match quotes::create(exchange, &member.session.brand, member.request_id, wanted).await {
        Ok(quote) => match kept(exchange, &quote).await {
            Ok(kept) => OfferPart { shell, offer: Some(offer(exchange, shell, quote, kept)), no: None },
            Err(error) => refused(shell, error),
        },
        Err(error) => refused(shell, error),
    }
}

fn refused(shell: &Shell, error: Error) -> OfferPart<'_> {
    OfferPart { shell, offer: None, no: Some(trouble::why(&Problem::from(error), shell.lang)) }
}

/// What would be left to the member where the points come from; a ledger of a brand's own is not known here.
async fn kept(exchange: &Exchange, quote: &Quote) -> Result<Option<Points>, Error> {
    let is_hosted = exchange.catalogue.load().partners.get(&quote.row.terms.from).is_some_and(|from| from.hosted);
    if !is_hosted {
        return Ok(None);
    }
    let free = member_view::free(exchange, quote.row.from_account).await?;
    Ok(Some(free.less(quote.row.debit)))
}

fn offer(exchange: &Exchange, shell: &Shell, quote: Quote, kept: Option<Points>) -> Offer {
    let (lang, row, terms) = (shell.lang, &quote.row, &quote.row.terms);
    let total = row.bonuses.iter().fold(row.credit.get(), |sum, bonus| sum + bonus.get());
    let catalogue = exchange.catalogue.load();
    let rate = catalogue
        .pair(&terms.from, &terms.to)
        .and_then(|pair| pair.rates.iter().find(|rate| rate.version == terms.rate_version && rate.is_live(row.at)));
    let ends = rate.and_then(|rate| rate.ends_at());
    let bonuses = terms.campaigns.iter().zip(&row.bonuses).filter(|(_, points)| !points.is_zero());
    let is_hosted = |slug| catalogue.partners.get(slug).is_some_and(|partner| partner.hosted);
    let is_now = is_hosted(&terms.from) && is_hosted(&terms.to);
    let promise = arrives_by(row.at).signed_duration_since(row.at).num_seconds();
    Offer {
        give: lang.number(row.debit.get()),
        give_name: shell.points_of(&terms.from),
        get: lang.number(total),
        get_name: shell.points_of(&terms.to),
        keep: kept.map(|points| lang.number(points.get())),
        spare: (!quote.remainder.is_zero()).then(|| lang.not_needed(lang.number(quote.remainder.get()))),
        bonuses: bonuses.map(|(campaign, points)| bonus(shell, row, &campaign.code, *points)).collect(),
        rate: lang.rate_for(lang.number(terms.ratio.den()), lang.number(terms.ratio.num())),
        rate_ends: ends.map(|at| lang.rate_ends(shell.instant(at))),
        tier: lang.rate_of_tier(shell.tier_of(&terms.from, &terms.tier)),
        arrives: if is_now { lang.arrives_now().to_owned() } else { lang.arrives_within(lang.span(promise)) },
        lots: arriving(shell, row),
        is_mortal: is_mortal(row),
        undo: (terms.undo_s >= 60).then(|| lang.undo_within(lang.span(terms.undo_s.into()))),
        offer_until: shell.instant(quote.expires_at),
        token: quote.token,
        key: Uuid::new_v4().simple().to_string(),
    }
}

fn bonus(shell: &Shell, row: &ConversionRow, code: &str, points: Points) -> String {
    let pair = shell.catalogue().pair(&row.terms.from, &row.terms.to);
    let campaign = pair.and_then(|pair| pair.campaigns.iter().find(|campaign| campaign.code == code));
    let name = campaign.map_or(code, |campaign| shell.lang.name(&campaign.name));
    shell.lang.of_it_bonus(shell.lang.number(points.get()), name)
}

fn arriving(shell: &Shell, row: &ConversionRow) -> Vec<Arriving> {
    let target = shell.catalogue().partners.get(&row.terms.to);
    let latest = |tier: &str, day: NaiveDate| target.map(|partner| partner.programme.expiry(tier, day));
    // A longer life than any tier's by rule is none; shorter than the target's own is the origin's doing.
    let rule = target.and_then(|partner| {
        partner.programme.tiers.iter().filter(|tier| !tier.never_expires).find_map(|tier| latest(&tier.code, row.day))
    });
    let lots = row.lots_in.iter().filter(|parcel| !parcel.points.is_zero());
    lots.map(|parcel| {
        let is_cut = rule.is_some_and(|rule| parcel.expires < rule);
        let why = if is_cut { shell.lang.because_origin() } else { shell.lang.because_target() };
        Arriving { text: expiry_text(shell.lang, parcel.points, parcel.expires), why }
    })
    .collect()
}

/// Points and when they end.
pub fn expiry_text(lang: Lang, points: Points, expires: Expiry) -> String {
    let points = lang.number(points.get());
    match expires {
        Expiry::On(day) => lang.expires(points, lang.day(day)),
        Expiry::Never => lang.expires_never(points),
    }
}

/// Whether points that would have lasted become points that do not.
fn is_mortal(row: &ConversionRow) -> bool {
    let is_lasting = |parcel: &crate::service::command::Parcel| parcel.expires == Expiry::Never;
    row.lots_out.iter().any(is_lasting) && row.lots_in.iter().any(|parcel| !is_lasting(parcel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_read() {
        let asked = |direction: &str, points: &str| Asked { direction: direction.into(), points: points.into() };
        let read = asked("to.harvest", " 1,370").read().expect("a wish");
        assert_eq!(read.1.get(), 1_370);
        assert!(matches!(read.0, Direction::To(slug) if slug.as_str() == "harvest"));
        assert!(asked("from.harvest", "1").read().is_some());
        for (direction, points) in [
            ("", "1"),
            ("to.", "1"),
            ("to.harvest", "0"),
            ("to.harvest", "-1"),
            ("to.harvest", "1.5"),
            ("up.harvest", "1"),
            ("to.harvest", "9007199254740992"),
        ] {
            assert!(asked(direction, points).read().is_none(), "{direction} {points}");
        }
    }
}
