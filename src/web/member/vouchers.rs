//! Vouchers of this member: showing them at a till, giving them back.

use super::benefits::price;
use super::session::Member;
use super::shell::{Place, Shell};
use crate::domain::holder::Holder;
use crate::domain::ids::VoucherId;
use crate::domain::voucher::State;
use crate::service::benefits::Vouchers;
use crate::service::benefits::claims::{self, GivenBack};
use crate::service::command::VoucherRow;
use crate::service::exchange::Exchange;
use crate::service::member_sessions::Scope;
use crate::service::member_view;
use crate::web::form::{Nothing, Posted};
use crate::web::trouble::Trouble;
use crate::web::{page, terms};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

/// Vouchers of one page.
const PAGE: i64 = 100;

/// A voucher in a member's words.
struct Card {
    id: String,
    name: String,
    kind: &'static str,
    giver: String,
    state: &'static str,
    is_good: bool,
    use_by: String,
}

#[derive(Template)]
#[template(path = "member/vouchers.html")]
struct VouchersPage<'a> {
    shell: &'a Shell,
    cards: Vec<Card>,
}

/// All of them, those that are good first.
pub async fn list(exchange: Data<Exchange>, request: HttpRequest, member: Member) -> Result<HttpResponse, Trouble> {
    let found = claims::usable_first(&exchange, member.session.account, PAGE).await;
    let found = found.map_err(member.no("/member"))?;
    let shell = Shell::new(&exchange, &member, &request, Place::Vouchers);
    let cards = found.iter().map(|row| card(&shell, row)).collect();
    page::html(StatusCode::OK, &VouchersPage { cards, shell: &shell })
}

fn card(shell: &Shell, row: &VoucherRow) -> Card {
    Card {
        id: row.id.to_string(),
        name: shell.lang.name(&row.terms.name).to_owned(),
        kind: shell.lang.kind(row.terms.kind),
        giver: shell.lang.given_by(shell.brand_of(&row.terms.giver)),
        state: shell.lang.voucher_state(row.state),
        is_good: is_good(row),
        use_by: shell.lang.use_by(shell.lang.day(row.use_by)),
    }
}

fn is_good(row: &VoucherRow) -> bool {
    matches!(row.state, State::Issued | State::PartlyRedeemed)
}

#[derive(Template)]
#[template(path = "member/voucher.html")]
struct VoucherPage<'a> {
    shell: &'a Shell,
    card: Card,
    price: String,
    facts: Vec<String>,
    /// What the till reads, and the same for eyes; absent once it is good for nothing.
    code: Option<String>,
    qr: String,
    reserved: Option<String>,
    /// What giving it back does; absent when it cannot be.
    give_back: Option<String>,
}

/// One voucher, with what the till scans while it is good.
pub async fn show(
    exchange: Data<Exchange>,
    vouchers: Data<Vouchers>,
    request: HttpRequest,
    member: Member,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let no = member.no("/member/vouchers");
    let id = id_of(&member, &id)?;
    member_view::has_voucher(&exchange, member.session.account, id).await.map_err(&no)?;
    let reader = Holder::Partner(member.session.brand.clone());
    let (row, uses) = claims::get(&exchange, &reader, id).await.map_err(&no)?;
    let brand = &member.session.brand;
    let back = claims::give_back(&exchange, brand, &row, &uses).await.map_err(&no)?;
    let held = claims::held(&vouchers, row).await.map_err(&no)?;
    let shell = Shell::new(&exchange, &member, &request, Place::Vouchers);
    let (row, lang) = (&held.row, member.lang);
    let code = held.code.filter(|_| is_good(row));
    let uses = (row.terms.uses > 1).then(|| lang.uses_left(row.terms.uses - row.used, row.terms.uses));
    let off = row.terms.discount.map(|discount| terms::off(lang, discount, |amount| shell.money(amount)));
    let facts = [off, uses].into_iter().flatten().chain(terms::black_days(lang, &row.terms.blackouts));
    let voucher = VoucherPage {
        card: card(&shell, row),
        price: price(&shell, row.terms.points, row.terms.cash),
        facts: facts.collect(),
        qr: code.as_deref().map(page::qr).unwrap_or_default(),
        code,
        reserved: row
            .reserved_until
            .filter(|_| row.state == State::Reserved)
            .map(|until| lang.reserved_until(shell.instant(until))),
        give_back: back.filter(|_| shell.may_claim).map(|back| give_back(&shell, row, back)),
        shell: &shell,
    };
    page::html(StatusCode::OK, &voucher)
}

fn give_back(shell: &Shell, row: &VoucherRow, back: GivenBack) -> String {
    let lang = shell.lang;
    // Of a reservation nothing has been taken yet.
    if row.state == State::Reserved || row.terms.points.is_zero() {
        return lang.give_back_free().to_owned();
    }
    let what = lang.give_back_what(lang.so_many_points(row.terms.points.get()));
    if back.ends_some { format!("{what} {}", lang.give_back_ended()) } else { what }
}

fn id_of(member: &Member, text: &str) -> Result<VoucherId, Trouble> {
    text.parse().map_err(|_| Trouble::not_found(member.lang).back_to("/member/vouchers"))
}

/// Gives back a voucher that was not used.
pub async fn cancel(
    exchange: Data<Exchange>,
    posted: Posted<Member, Nothing>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let member = posted.visitor;
    member.check(Scope::Claim)?;
    let no = member.no("/member/vouchers");
    let id = id_of(&member, &id)?;
    member_view::has_voucher(&exchange, member.session.account, id).await.map_err(&no)?;
    let reason = "given back by the member".to_owned();
    claims::cancel(&exchange, &member.session.brand, member.request_id, id, reason).await.map_err(&no)?;
    Ok(page::see_other(&format!("/member/vouchers/{id}")))
}
