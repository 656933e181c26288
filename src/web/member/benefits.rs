//! What the alliance offers to this member, and claiming it.

use super::session::Member;
use super::shell::{Place, Shell};
use crate::domain::benefit::{Benefit, UseUntil};
use crate::domain::ids::BenefitId;
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::service::benefits::Vouchers;
use crate::service::benefits::claims::{self, Wanted};
use crate::service::exchange::{Call, Exchange};
use crate::service::member_sessions::Scope;
use crate::service::member_view::{self, Offered, Verdict};
use crate::web::form::Posted;
use crate::web::trouble::Trouble;
use crate::web::{page, terms};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;
use uuid::Uuid;

/// A benefit in a member's words.
struct Card {
    id: String,
    version: i64,
    name: String,
    description: String,
    kind: &'static str,
    giver: String,
    price: String,
    claim: String,
    facts: Vec<String>,
    /// Why it cannot be had now; empty when it can.
    no: String,
    key: String,
}

#[derive(Template)]
#[template(path = "member/benefits.html")]
struct BenefitsPage<'a> {
    shell: &'a Shell,
    may: Vec<Card>,
    may_not: Vec<Card>,
}

/// What one may have, and what one may not, with the reason.
pub async fn list(exchange: Data<Exchange>, request: HttpRequest, member: Member) -> Result<HttpResponse, Trouble> {
    let offers = member_view::offers(&exchange, member.session.account).await.map_err(member.no("/member"))?;
    let shell = Shell::new(&exchange, &member, &request, Place::Benefits);
    let (may, may_not): (Vec<_>, Vec<_>) = offers.into_iter().partition(|offered| offered.verdict == Verdict::May);
    let cards = |offers: Vec<Offered>| offers.iter().map(|offered| card(&shell, offered)).collect();
    page::html(StatusCode::OK, &BenefitsPage { may: cards(may), may_not: cards(may_not), shell: &shell })
}

fn card(shell: &Shell, offered: &Offered) -> Card {
    let (lang, benefit, offer) = (shell.lang, &offered.row.benefit, &offered.offer);
    let no = match offered.verdict {
        Verdict::May => "",
        Verdict::Unmet(unmet) => lang.unmet(unmet),
        Verdict::SoldOut => lang.sold_out(),
        Verdict::Had => lang.had_it(),
    };
    let claim = if offer.points.is_zero() {
        lang.claim().to_owned()
    } else {
        lang.claim_for(lang.so_many_points(offer.points.get()))
    };
    let left = offered.row.quota.map(|quota| lang.left_over(lang.number((quota - offered.row.taken).max(0))));
    let share = offer.per_member.map(|share| lang.per_member(share.count, share.period));
    let facts = [
        benefit.discount.map(|discount| terms::off(lang, discount, |amount| shell.money(amount))),
        worth(shell, benefit),
        Some(good(shell, benefit)),
        left,
        share,
    ];
    Card {
        id: benefit.id.to_string(),
        version: benefit.version,
        name: lang.name(&benefit.name).to_owned(),
        description: benefit.description.as_ref().map_or_else(String::new, |text| lang.name(text).to_owned()),
        kind: lang.kind(benefit.kind),
        giver: lang.given_by(shell.brand_of(&benefit.giver)),
        price: price(shell, offer.points, offer.cash),
        claim,
        facts: facts.into_iter().flatten().chain(terms::black_days(lang, &benefit.blackouts)).collect(),
        no: no.to_owned(),
        key: Uuid::new_v4().simple().to_string(),
    }
}

/// What it costs the member.
pub fn price(shell: &Shell, points: Points, cash: Millionths) -> String {
    let lang = shell.lang;
    match (points.is_zero(), cash == Millionths::ZERO) {
        (true, true) => lang.free().to_owned(),
        (false, true) => lang.so_many_points(points.get()),
        (true, false) => lang.costs_cash(shell.money(cash)),
        (false, false) => lang.costs_points_and_cash(lang.so_many_points(points.get()), shell.money(cash)),
    }
}

fn worth(shell: &Shell, benefit: &Benefit) -> Option<String> {
    benefit.face_value.map(|value| shell.lang.worth(shell.money(value)))
}

fn good(shell: &Shell, benefit: &Benefit) -> String {
    match benefit.use_until {
        UseUntil::Day(day) => shell.lang.use_by(shell.lang.day(day)),
        UseUntil::Days(0) => shell.lang.use_today().to_owned(),
        UseUntil::Days(days) => shell.lang.use_within(shell.lang.so_many_days(days.into())),
    }
}

/// What a claim sends: the version that was read, so that nobody pays for another.
#[derive(Debug, Deserialize)]
pub struct Claimed {
    version: String,
    key: String,
}

/// Claims a benefit; sent twice, it is one voucher.
pub async fn claim(
    exchange: Data<Exchange>,
    vouchers: Data<Vouchers>,
    posted: Posted<Member, Claimed>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: member, form } = posted;
    member.check(Scope::Claim)?;
    let not_found = || Trouble::not_found(member.lang).back_to("/member/benefits");
    let benefit: BenefitId = id.parse().map_err(|_| not_found())?;
    let version = form.version.parse().map_err(|_| not_found())?;
    let key = member.key(&form.key);
    let call = Call { caller: &member.session.brand, request_id: member.request_id, key: &key };
    let member_ref = member.session.member_ref.clone();
    let wanted = Wanted { member_ref, benefit, version: Some(version), reserve: false, reference: None };
    let done = claims::claim(&exchange, &vouchers, call, wanted).await.map_err(member.no("/member/benefits"))?;
    Ok(page::see_other(&format!("/member/vouchers/{}", done.row.row.id)))
}
