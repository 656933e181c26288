//! What this member has agreed to, its withdrawal, and the pass by which a till recognises it.

use super::session::Member;
use super::shell::{Place, Shell};
use crate::domain::ids::LinkId;
use crate::service::benefits::passes;
use crate::service::exchange::Exchange;
use crate::service::links;
use crate::service::member_sessions::Scope;
use crate::service::member_view;
use crate::service::memberships::Consent;
use crate::web::form::{Nothing, Posted};
use crate::web::page;
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

/// A tie to another brand.
struct Tie {
    id: String,
    brand: String,
    state: String,
    pull: Option<String>,
}

/// A consent as it was given.
struct Agreed {
    recipient: String,
    purpose: String,
    shared: String,
    given: String,
    withdrawn: String,
}

#[derive(Template)]
#[template(path = "member/links.html")]
struct LinksPage<'a> {
    shell: &'a Shell,
    ties: Vec<Tie>,
    agreed: Vec<Agreed>,
}

/// Links, consents, and how to withdraw them.
pub async fn list(exchange: Data<Exchange>, request: HttpRequest, member: Member) -> Result<HttpResponse, Trouble> {
    let account = member.session.account;
    let view = member_view::view(&exchange, account).await.map_err(member.no("/member"))?;
    let given = member_view::agreed(&exchange, account).await.map_err(member.no("/member"))?;
    let shell = Shell::new(&exchange, &member, &request, Place::Links);
    let ties = view.linked.iter().map(|one| {
        let brand = shell.brand_of(&one.link.partner);
        let is_cooling = one.link.opens_at > view.now;
        let state = if is_cooling {
            shell.lang.opens_on(shell.instant(one.link.opens_at))
        } else {
            shell.lang.link_open().to_owned()
        };
        Tie { id: one.link.link.to_string(), pull: one.link.pull.then(|| shell.lang.may_pull(&brand)), state, brand }
    });
    let links = LinksPage {
        ties: ties.collect(),
        agreed: given.iter().map(|consent| agreed(&shell, consent)).collect(),
        shell: &shell,
    };
    page::html(StatusCode::OK, &links)
}

fn agreed(shell: &Shell, consent: &Consent) -> Agreed {
    let recipient = consent.recipient.parse().map_or_else(|_| consent.recipient.clone(), |slug| shell.brand_of(&slug));
    let shared: Vec<&str> = consent.categories.iter().map(|code| shell.lang.category(code)).collect();
    let shared = shared.join(shell.lang.pick(", ", "、"));
    Agreed {
        recipient,
        purpose: consent.purpose.clone().unwrap_or_default(),
        shared: if shared.is_empty() { shell.lang.nothing_shared().to_owned() } else { shared },
        given: shell.instant(consent.given_at),
        withdrawn: consent.withdrawn_at.map(|at| shell.instant(at)).unwrap_or_default(),
    }
}

/// Ends a link of this member's, and withdraws the consents it stood on.
pub async fn end(
    exchange: Data<Exchange>,
    posted: Posted<Member, Nothing>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let member = posted.visitor;
    member.check(Scope::Consent)?;
    let no = member.no("/member/links");
    let not_found = || Trouble::not_found(member.lang).back_to("/member/links");
    let link: LinkId = id.parse().map_err(|_| not_found())?;
    let view = member_view::view(&exchange, member.session.account).await.map_err(&no)?;
    // Of this very membership: the brand has others.
    if !view.linked.iter().any(|one| one.link.link == link) {
        return Err(not_found());
    }
    links::end(&exchange, &member.session.brand, member.request_id, link).await.map_err(&no)?;
    Ok(page::see_other("/member/links"))
}

#[derive(Template)]
#[template(path = "member/pass.html")]
struct PassPage<'a> {
    shell: &'a Shell,
    code: String,
    qr: String,
    until: String,
}

/// A pass for the till, for two minutes. It is made by a form, so that no page that is loaded again makes another.
pub async fn pass(
    exchange: Data<Exchange>,
    request: HttpRequest,
    posted: Posted<Member, Nothing>,
) -> Result<HttpResponse, Trouble> {
    let member = posted.visitor;
    member.check(Scope::Pass)?;
    let made =
        passes::make(&exchange, &member.session.brand, member.request_id, member.session.member_ref.clone()).await;
    let made = made.map_err(member.no("/member"))?;
    let shell = Shell::new(&exchange, &member, &request, Place::Points);
    let code = made.code.to_string();
    let until = made.expires_at.with_timezone(&shell.catalogue().alliance.zone).format("%H:%M:%S").to_string();
    page::html(StatusCode::OK, &PassPage { qr: page::qr(&code), code, until, shell: &shell })
}
