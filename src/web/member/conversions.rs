//! Carrying a conversion out, undoing it, and everything that has happened to one's points.

use super::offer::expiry_text;
use super::session::Member;
use super::shell::{Place, Shell};
use crate::domain::confirmation::Confirmation;
use crate::domain::ids::{AccountId, ConversionId, Slug};
use crate::domain::terms::Terms;
use crate::service::answer::{Side, arrives_by, asker, standing};
use crate::service::command::{ConversionRow, CrossingRow, ReversalRow};
use crate::service::conversions::{self, By, Converted, Found, Stands, Wanted};
use crate::service::crossings::Kind;
use crate::service::exchange::{Call, Exchange};
use crate::service::member_sessions::Scope;
use crate::service::member_view::{self, Happened};
use crate::service::memberships::EntryPlace;
use crate::web::form::Posted;
use crate::web::page;
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use chrono::{TimeDelta, Utc};
use serde::Deserialize;
use uuid::Uuid;

/// Lines of one page of the history.
const PAGE: i64 = 40;

/// What a confirmation sends.
#[derive(Debug, Deserialize)]
pub struct Confirmed {
    token: String,
    key: String,
}

/// Carries out a quote; sent twice, it is one conversion.
pub async fn create(exchange: Data<Exchange>, posted: Posted<Member, Confirmed>) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: member, form } = posted;
    member.check(Scope::Convert)?;
    let key = member.key(&form.key);
    let call = Call { caller: &member.session.brand, request_id: member.request_id, key: &key };
    let by = By::TokenOf { token: form.token, member_ref: member.session.member_ref.clone() };
    let done = conversions::convert(&exchange, call, Wanted { by, reference: None }).await;
    let id = match done.map_err(member.no("/member"))?.row {
        Converted::Completed(row) => row.id,
        Converted::Pending(row) => row.conversion,
    };
    Ok(page::see_other(&format!("/member/conversions/{id}")))
}

/// One line of the history.
pub struct Line {
    pub what: String,
    pub change: String,
    pub is_gain: bool,
    pub day: String,
    pub note: String,
    /// Where there is more of it.
    pub address: Option<String>,
}

pub fn lines(shell: &Shell, happened: Vec<Happened>) -> Vec<Line> {
    happened.iter().map(|one| line(shell, one)).collect()
}

fn line(shell: &Shell, happened: &Happened) -> Line {
    let lang = shell.lang;
    match happened {
        Happened::Converted { row, side } => {
            let total = row.bonuses.iter().fold(row.credit.get(), |sum, bonus| sum + bonus.get());
            let change = if *side == Side::From { -row.debit.get() } else { total };
            let note = match (row.reversed.undone, taken_back(row)) {
                (true, _) => lang.state_undone(),
                (false, TakenBack::All) => lang.state_reversed(),
                (false, TakenBack::Some) => lang.state_partly_reversed(),
                (false, TakenBack::Nothing) => "",
            };
            Line {
                what: both_legs(shell, (&row.terms.from, row.debit.get()), (&row.terms.to, total)),
                change: lang.change(change),
                is_gain: change > 0,
                day: lang.day(row.day),
                note: note.to_owned(),
                address: Some(format!("/member/conversions/{}", row.id)),
            }
        }
        Happened::Entry(entry) => Line {
            what: lang.entry(member_view::kind(entry)).to_owned(),
            change: lang.change(entry.delta),
            is_gain: entry.delta > 0,
            day: lang.day(entry.day),
            note: String::new(),
            address: None,
        },
    }
}

fn both_legs(shell: &Shell, (from, gave): (&Slug, i64), (to, got): (&Slug, i64)) -> String {
    let (from, to) = (shell.points_of(from), shell.points_of(to));
    shell.lang.gave_got(shell.lang.number(gave), from, shell.lang.number(got), to)
}

/// What is on its way, if it is this account's to know: an undo or a reversal goes the other way.
pub fn line_of_crossing(shell: &Shell, row: &CrossingRow, account: AccountId) -> Option<Line> {
    let (gives, gets) = (row.source_points().get(), row.target_points().get());
    let change = match account {
        own if own == row.source() => -gives,
        own if own == row.target() => gets,
        _ => return None,
    };
    let legs = both_legs(shell, (row.source_partner(), gives), (row.target_partner(), gets));
    let what = match row.kind {
        Kind::Conversion => legs,
        Kind::Undo => shell.lang.of_kind(shell.lang.crossing_kind_undo(), legs),
        Kind::Reversal => shell.lang.of_kind(shell.lang.crossing_kind_reversal(), legs),
    };
    Some(Line {
        what,
        change: shell.lang.change(change),
        is_gain: change > 0,
        day: shell.instant(row.at),
        note: state_text(shell, standing(row)).to_owned(),
        address: Some(format!("/member/conversions/{}", row.conversion)),
    })
}

#[derive(Debug, Deserialize)]
pub struct After {
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "member/history.html")]
struct HistoryPage<'a> {
    shell: &'a Shell,
    lines: Vec<Line>,
    next: Option<String>,
}

/// Everything that has happened, newest first.
pub async fn history(
    exchange: Data<Exchange>,
    request: HttpRequest,
    member: Member,
    after: Query<After>,
) -> Result<HttpResponse, Trouble> {
    let after: Option<EntryPlace> = after.after.as_deref().and_then(|text| text.parse().ok());
    let history = member_view::history(&exchange, member.session.account, after, PAGE).await;
    let history = history.map_err(member.no("/member"))?;
    let shell = Shell::new(&exchange, &member, &request, Place::History);
    let next = history.next.map(|place| place.to_string());
    page::html(StatusCode::OK, &HistoryPage { lines: lines(&shell, history.happened), shell: &shell, next })
}

#[derive(Template)]
#[template(path = "member/conversion.html")]
struct ConversionPage<'a> {
    shell: &'a Shell,
    id: String,
    confirmation: String,
    state: &'static str,
    state_text: &'static str,
    give: String,
    give_name: String,
    get: String,
    get_name: String,
    at: String,
    lots: Vec<String>,
    /// Of one on its way.
    promise: Option<String>,
    undo_until: Option<String>,
    /// Once for each form that is shown: a refusal is final for its key, and the next form asks anew.
    key: String,
}

/// One conversion, as it stands.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    member: Member,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let id = id_of(&member, &id)?;
    let found = member_view::conversion(&exchange, member.session.account, id).await;
    let found = found.map_err(member.no("/member/history"))?;
    let now = member_view::now(&exchange).await.map_err(member.no("/member/history"))?;
    let shell = Shell::new(&exchange, &member, &request, Place::History);
    page::html(StatusCode::OK, &conversion_page(&shell, &found, now))
}

fn id_of(member: &Member, text: &str) -> Result<ConversionId, Trouble> {
    text.parse().map_err(|_| Trouble::not_found(member.lang).back_to("/member/history"))
}

fn conversion_page<'a>(shell: &'a Shell, found: &Found, now: chrono::DateTime<Utc>) -> ConversionPage<'a> {
    match &found.stands {
        Stands::Crossing(row) => crossing_page(shell, row),
        Stands::Posted { row, reversals, crossing } => {
            let state = posted_state(row, reversals, crossing.as_deref());
            let until = row.at + TimeDelta::seconds(i64::from(row.terms.undo_s));
            let may_undo = shell.may_convert && state == "completed" && row.reversed.credit.is_zero() && now < until;
            let may_undo = may_undo && asker(row) == found.side;
            let total = row.bonuses.iter().fold(row.credit.get(), |sum, bonus| sum + bonus.get());
            let place = row.accepted.map_or((row.batch_no, row.ordinal), |at| (at.batch_no, at.ordinal));
            let lots = row.lots_in.iter().filter(|parcel| !parcel.points.is_zero());
            ConversionPage {
                lots: lots.map(|parcel| expiry_text(shell.lang, parcel.points, parcel.expires)).collect(),
                at: shell.instant(row.at),
                undo_until: may_undo.then(|| shell.instant(until)),
                ..figures(shell, row.id, &row.terms, (row.debit.get(), total), place, state)
            }
        }
    }
}

fn crossing_page<'a>(shell: &'a Shell, row: &CrossingRow) -> ConversionPage<'a> {
    let state = standing(row);
    let place = (row.batch_no, row.ordinal);
    let amounts = (row.debit.get(), row.total_credit().get());
    let promise = (state == "pending").then(|| shell.lang.pending_promise(shell.instant(arrives_by(row.at))));
    ConversionPage {
        at: shell.instant(row.at),
        promise,
        ..figures(shell, row.conversion, &row.terms, amounts, place, state)
    }
}

fn figures<'a>(
    shell: &'a Shell,
    id: ConversionId,
    terms: &Terms,
    (give, get): (i64, i64),
    (batch_no, ordinal): (i64, i32),
    state: &'static str,
) -> ConversionPage<'a> {
    ConversionPage {
        shell,
        id: id.to_string(),
        confirmation: Confirmation::new(batch_no, ordinal).map(|number| number.to_string()).unwrap_or_default(),
        state,
        state_text: state_text(shell, state),
        give: shell.lang.number(give),
        give_name: shell.points_of(&terms.from),
        get: shell.lang.number(get),
        get_name: shell.points_of(&terms.to),
        at: String::new(),
        lots: Vec::new(),
        promise: None,
        undo_until: None,
        key: Uuid::new_v4().simple().to_string(),
    }
}

fn posted_state(row: &ConversionRow, reversals: &[ReversalRow], crossing: Option<&CrossingRow>) -> &'static str {
    match crossing {
        Some(crossing) if !crossing.state.is_over() => standing(crossing),
        _ if row.reversed.undone => "undone",
        _ if member_view::is_being_undone(reversals).is_some() => "being_undone",
        _ => match taken_back(row) {
            TakenBack::All => "reversed",
            TakenBack::Some => "partly_reversed",
            TakenBack::Nothing => "completed",
        },
    }
}

/// How much of a conversion a brand has taken back.
enum TakenBack {
    Nothing,
    Some,
    All,
}

fn taken_back(row: &ConversionRow) -> TakenBack {
    match row.reversed.credit {
        none if none.is_zero() => TakenBack::Nothing,
        all if all == row.credit => TakenBack::All,
        _ => TakenBack::Some,
    }
}

fn state_text(shell: &Shell, state: &str) -> &'static str {
    match state {
        "pending" => shell.lang.state_pending(),
        "in_doubt" => shell.lang.state_in_doubt(),
        "released" => shell.lang.state_released(),
        "undone" => shell.lang.state_undone(),
        "being_undone" => shell.lang.state_being_undone(),
        "partly_reversed" => shell.lang.state_partly_reversed(),
        "reversed" => shell.lang.state_reversed(),
        _ => shell.lang.state_completed(),
    }
}

/// What an undo sends.
#[derive(Debug, Deserialize)]
pub struct Undone {
    key: String,
}

/// Undoes a conversion that this page's brand asked for.
pub async fn undo(
    exchange: Data<Exchange>,
    posted: Posted<Member, Undone>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: member, form } = posted;
    member.check(Scope::Convert)?;
    let id = id_of(&member, &id)?;
    // Of this very membership: the book asks for the brand alone.
    let found = member_view::conversion(&exchange, member.session.account, id).await;
    let found = found.map_err(member.no("/member/history"))?;
    let is_own = match &found.stands {
        Stands::Posted { row, .. } => asker(row) == found.side,
        Stands::Crossing(_) => false,
    };
    if !is_own {
        return Err(Trouble::not_found(member.lang).back_to("/member/history"));
    }
    let key = member.key(&form.key);
    let call = Call { caller: &member.session.brand, request_id: member.request_id, key: &key };
    conversions::undo(&exchange, call, id).await.map_err(member.no("/member/history"))?;
    Ok(page::see_other(&format!("/member/conversions/{id}")))
}
