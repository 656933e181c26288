//! Who is there: the cookie that a one-time address became, and what forms of it carry.

use crate::http::RequestId;
use crate::service::exchange::{Error, Exchange};
use crate::service::member_sessions::{self, Scope, Secret, Session};
use crate::web::form::{Found, Nothing, Posted, Visitor, plain_key};
use crate::web::lang::Lang;
use crate::web::trouble::{Trouble, What};
use crate::web::{assets, page};
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};
use askama::Template;
use uuid::Uuid;

/// The prefix keeps it to this host, to HTTPS (or this machine) and to the whole site (RFC 6265bis §4.1.3.2).
pub const COOKIE: &str = "__Host-hanse-member";

/// Whoever is there, with the language of the page.
#[derive(Clone, Debug)]
pub struct Member {
    pub session: Session,
    pub lang: Lang,
    pub request_id: Uuid,
    cookie: Secret,
}

impl Member {
    /// What this session's forms carry.
    pub fn form_token(&self) -> String {
        self.cookie.form_token()
    }

    pub fn check(&self, scope: Scope) -> Result<(), Trouble> {
        if self.session.may(scope) { Ok(()) } else { Err(Trouble::new(What::Scope, self.lang).back_to("/member")) }
    }

    /// The idempotency key of a form: of this membership alone, whatever a browser sends.
    pub fn key(&self, form: &str) -> String {
        format!("page-{}-{}", self.session.account, plain_key(form))
    }

    /// For `map_err`: a no in this page's language.
    pub fn no(&self, back: &'static str) -> impl Fn(Error) -> Trouble + use<> {
        let lang = self.lang;
        move |error| Trouble::of(error, lang).back_to(back)
    }
}

impl FromRequest for Member {
    type Error = Trouble;
    type Future = Found<Member>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (lang, cookie) = (Lang::of(request), cookie_of(request));
        let exchange = request.app_data::<Data<Exchange>>().cloned();
        let request_id = request.extensions().get::<RequestId>().map_or(Uuid::nil(), |id| id.0);
        Box::pin(async move {
            let over = || Trouble::new(What::Session, lang);
            let (cookie, exchange) = (cookie.ok_or_else(over)?, exchange.ok_or_else(over)?);
            let session = member_sessions::find(&exchange, &cookie).await.map_err(|error| Trouble::of(error, lang))?;
            Ok(Member { session: session.ok_or_else(over)?, lang, request_id, cookie })
        })
    }
}

fn cookie_of(request: &HttpRequest) -> Option<Secret> {
    request.cookie(COOKIE).and_then(|cookie| Secret::read(cookie.value()))
}

impl Visitor for Member {
    const HOME: &'static str = "/member";

    fn is_form_token(&self, token: &str) -> bool {
        token == self.form_token()
    }
}

/// Opens the page by a one-time address: once, by whoever comes first.
pub async fn open(
    exchange: Data<Exchange>,
    request: HttpRequest,
    lang: Lang,
    secret: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let over = || Trouble::new(What::Opening, lang);
    let opening = Secret::read(&secret).ok_or_else(over)?;
    let opened = member_sessions::open(&exchange, &opening, cookie_of(&request)).await;
    let session = opened.map_err(|error| match error {
        Error::NotFound => over(),
        other => Trouble::of(other, lang),
    })?;
    let mut answer = page::see_other("/member");
    put(&mut answer, cookie(session.as_str()).finish());
    Ok(answer)
}

#[derive(Template)]
#[template(path = "member/closed.html")]
struct Closed {
    lang: Lang,
    style: &'static str,
    return_url: Option<String>,
}

/// Closes the page, and says where it was opened from: a form may lead nowhere else by itself (CSP `form-action`).
pub async fn end(exchange: Data<Exchange>, posted: Posted<Member, Nothing>) -> Result<HttpResponse, Trouble> {
    let member = posted.visitor;
    member_sessions::end(&exchange, &member.cookie).await.map_err(member.no("/member"))?;
    let (lang, style) = (member.lang, assets::MEMBER_CSS.address());
    let mut answer = page::html(StatusCode::OK, &Closed { lang, style, return_url: member.session.return_url })?;
    let mut gone = cookie("").finish();
    gone.make_removal();
    put(&mut answer, gone);
    Ok(answer)
}

/// Lax: a link in a brand's app may lead here, a form elsewhere may not.
fn cookie(value: &str) -> actix_web::cookie::CookieBuilder<'_> {
    Cookie::build(COOKIE, value).path("/").secure(true).http_only(true).same_site(SameSite::Lax)
}

fn put(answer: &mut HttpResponse, cookie: Cookie<'_>) {
    // Base64url: nothing that could not be a header.
    let _ = answer.add_cookie(&cookie);
}
