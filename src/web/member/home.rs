//! The first page: what one has at every brand, and the form that converts it.

use super::conversions::{Line, line_of_crossing, lines};
use super::offer::{self, Asked, OfferPart, expiry_text};
use super::session::Member;
use super::shell::{Place, Shell};
use crate::domain::benefit::shown_tier;
use crate::domain::ids::Slug;
use crate::domain::lots::Lots;
use crate::service::exchange::Exchange;
use crate::service::member_view::{self, Linked, View};
use crate::web::page;
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use chrono::NaiveDate;

/// Lines of the journal looked at for the newest on the first page.
const NEWEST: i64 = 8;
/// Ends of lots shown of each account.
const ENDS_MAX: usize = 4;

/// A balance at one brand.
struct Balance {
    brand: String,
    points_name: String,
    /// Absent: the brand keeps it itself.
    balance: Option<String>,
    notes: Vec<String>,
    ends: Vec<String>,
}

/// A direction one may convert in.
struct Way {
    value: String,
    text: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "member/home.html")]
struct Home<'a> {
    shell: &'a Shell,
    tier: String,
    own: Balance,
    linked: Vec<Balance>,
    ways: Vec<Way>,
    /// Why there is no direction to convert in.
    no_way: &'static str,
    asked: Asked,
    part: OfferPart<'a>,
    pending: Vec<Line>,
    newest: Vec<Line>,
    /// The form has been sent: what it asked for is what the page is about.
    is_asked: bool,
}

/// Balances, the form, the newest of the history.
pub async fn show(exchange: Data<Exchange>, request: HttpRequest, member: Member) -> Result<HttpResponse, Trouble> {
    page_of(&exchange, &request, &member, None).await
}

/// The same page with what the form asked for, for browsers without a script.
pub async fn convert(
    exchange: Data<Exchange>,
    request: HttpRequest,
    member: Member,
    asked: Query<Asked>,
) -> Result<HttpResponse, Trouble> {
    page_of(&exchange, &request, &member, Some(asked.into_inner())).await
}

/// What the form asks for alone, while somebody types.
pub async fn quote(
    exchange: Data<Exchange>,
    request: HttpRequest,
    member: Member,
    asked: Query<Asked>,
) -> Result<HttpResponse, Trouble> {
    let shell = Shell::new(&exchange, &member, &request, Place::Points);
    page::html(StatusCode::OK, &offer::ask(&exchange, &member, &shell, &asked).await)
}

async fn page_of(
    exchange: &Exchange,
    request: &HttpRequest,
    member: &Member,
    asked: Option<Asked>,
) -> Result<HttpResponse, Trouble> {
    let account = member.session.account;
    let shell = Shell::new(exchange, member, request, Place::Points);
    let view = member_view::view(exchange, account).await.map_err(member.no(""))?;
    let history = member_view::history(exchange, account, None, NEWEST).await.map_err(member.no(""))?;
    let is_asked = asked.is_some();
    let asked = asked.unwrap_or_default();
    let part = match is_asked {
        true => offer::ask(exchange, member, &shell, &asked).await,
        false => OfferPart { shell: &shell, offer: None, no: None },
    };
    let (own_tier, until) = (view.membership.tier.clone(), view.membership.tier_until);
    let home = Home {
        tier: shell.tier_of(&view.account.partner, &shown_tier(own_tier, until, &view.account.tier, view.today)),
        own: own(&shell, &view),
        linked: view.linked.iter().map(|one| linked(&shell, one, &view)).collect(),
        ways: ways(&shell, &view, &asked.direction),
        no_way: no_way(&shell, &view),
        pending: view.pending.iter().filter_map(|row| line_of_crossing(&shell, row, account)).collect(),
        newest: lines(&shell, history.happened),
        shell: &shell,
        asked,
        part,
        is_asked,
    };
    page::html(StatusCode::OK, &home)
}

fn own(shell: &Shell, view: &View) -> Balance {
    let (lang, account) = (shell.lang, &view.account);
    let mut balance = balance(shell, &account.partner, &account.lots, view.today);
    let number = |points: crate::domain::points::Points| lang.number(points.get());
    if balance.balance.is_some() {
        balance.balance = Some(number(account.balance));
    }
    let pending = account.balance.less(account.held).less(account.lots.usable(view.today));
    let notes = [
        (!pending.is_zero()).then(|| lang.pending_points(number(pending))),
        (!account.held.is_zero()).then(|| lang.held_points(number(account.held))),
        (!account.owed.is_zero()).then(|| lang.owed_points(number(account.owed))),
    ];
    balance.notes.extend(notes.into_iter().flatten());
    balance
}

fn linked(shell: &Shell, one: &Linked, view: &View) -> Balance {
    let mut balance = balance(shell, &one.link.partner, &one.account.lots, view.today);
    if balance.balance.is_some() {
        balance.balance = Some(shell.lang.number(one.account.balance.get()));
    }
    if one.link.opens_at > view.now {
        balance.notes.push(shell.lang.opens_on(shell.instant(one.link.opens_at)));
    }
    balance
}

fn balance(shell: &Shell, partner: &Slug, lots: &Lots, today: NaiveDate) -> Balance {
    let is_hosted = shell.catalogue().partners.get(partner).is_some_and(|known| known.hosted);
    let live = lots.iter().filter(|lot| lot.expires.covers(today)).take(ENDS_MAX);
    let brand = shell.brand_of(partner);
    Balance {
        points_name: shell.points_of(partner),
        notes: if is_hosted { Vec::new() } else { vec![shell.lang.kept_there(&brand)] },
        balance: is_hosted.then(String::new),
        ends: live.map(|lot| expiry_text(shell.lang, lot.points, lot.expires)).collect(),
        brand,
    }
}

/// Not linked, not yet open, or nothing to convert by.
fn no_way(shell: &Shell, view: &View) -> &'static str {
    match view.linked.iter().all(|one| one.link.opens_at > view.now) {
        _ if view.linked.is_empty() => shell.lang.nothing_linked(),
        true => shell.lang.links_not_open(),
        false => shell.lang.no_way_now(),
    }
}

/// Own points to every linked brand; from it where its consent says so.
fn ways(shell: &Shell, view: &View, chosen: &str) -> Vec<Way> {
    let own = &view.account.partner;
    let open = view.linked.iter().filter(|one| one.link.opens_at <= view.now);
    let each = open.flat_map(|one| {
        let other = &one.link.partner;
        let to = (format!("to.{other}"), own, other);
        let from = one.pulls.then(|| (format!("from.{other}"), other, own));
        [Some(to), from].into_iter().flatten()
    });
    let rated = each.filter(|(_, from, to)| shell.catalogue().pair(from, to).is_some());
    rated
        .map(|(value, from, to)| Way {
            text: shell.lang.direction_of(shell.points_of(from), shell.points_of(to)),
            is_chosen: value == chosen,
            value,
        })
        .collect()
}
