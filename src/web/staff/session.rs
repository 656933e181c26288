//! Who is there: password and second factor once, a cookie afterwards.

use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::domain::staff::{Login, Permission, Secret};
use crate::http::RequestId;
use crate::http::forwarded;
use crate::http::rate_limit::Doors;
use crate::service::exchange::Error;
use crate::service::staff::{self, Attempt, Signed, Staffing, Unfit};
use crate::web::form::{Found, Nothing, Posted, Visitor, is_same_site};
use crate::web::lang::Lang;
use crate::web::trouble::{Trouble, What};
use crate::web::{assets, page};
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Form};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;
use uuid::Uuid;

/// The prefix keeps it to this host, to HTTPS (or this machine) and to the whole site (RFC 6265bis §4.1.3.2).
pub(super) const COOKIE: &str = "__Host-hanse-staff";

/// Whoever is there, with the language of the page.
#[derive(Clone, Debug)]
pub struct Staff {
    pub signed: Signed,
    pub lang: Lang,
    pub request_id: Uuid,
    token: Secret,
}

impl Staff {
    /// As whom the services read and do.
    pub fn holder(&self) -> &Holder {
        &self.signed.holder
    }

    pub fn check(&self, permission: Permission) -> Result<(), Trouble> {
        if self.signed.may(permission) {
            return Ok(());
        }
        Err(Trouble::new(What::Role, self.lang).back_to("/console"))
    }

    /// For what takes two who say the same, and for what money is paid by: who is new may be whoever has added them.
    pub fn check_one_of_two(&self, permission: Permission) -> Result<(), Trouble> {
        self.check(permission)?;
        if self.signed.may_be_one_of_two(permission) {
            return Ok(());
        }
        Err(Trouble::new(What::New, self.lang).back_to("/console"))
    }

    /// Whether their role may, and they cannot yet: a page says so where its form would be.
    pub fn is_too_new(&self, permission: Permission) -> bool {
        self.signed.may(permission) && !self.signed.may_be_one_of_two(permission)
    }

    /// The partner whose own things these are: an operator has none.
    pub fn partner(&self) -> Result<&Slug, Trouble> {
        self.signed.partner().ok_or_else(|| Trouble::new(What::Role, self.lang).back_to("/console"))
    }

    /// For `map_err`: a no in this page's language.
    pub fn no(&self, back: &'static str) -> impl Fn(Error) -> Trouble + use<> {
        let lang = self.lang;
        move |error| Trouble::of(error, lang).back_to(back)
    }

    /// The same for what the staff's own services say.
    pub fn refused(&self, back: &'static str) -> impl Fn(staff::Error) -> Trouble + use<> {
        let lang = self.lang;
        move |error| of_staff(error, lang).back_to(back)
    }
}

pub(super) fn of_staff(error: staff::Error, lang: Lang) -> Trouble {
    match error {
        staff::Error::Forbidden => Trouble::new(What::Role, lang),
        staff::Error::NotFound => Trouble::not_found(lang),
        staff::Error::Taken => Trouble::new(What::Taken, lang),
        staff::Error::Busy => Trouble::new(What::Busy, lang),
        staff::Error::Unfit(why) => Trouble::new(unfit(why), lang),
        staff::Error::Store(cause) => Trouble::of(Error::Store(cause), lang),
        other => Trouble::internal(&other),
    }
}

fn unfit(why: Unfit) -> What {
    match why {
        Unfit::OperatorLogin => What::Unfit("operator"),
        Unfit::OperatorClerk => What::Unfit("clerk"),
        Unfit::Oneself => What::Oneself,
        Unfit::Password(_) => What::Unfit("password"),
    }
}

impl FromRequest for Staff {
    type Error = Trouble;
    type Future = Found<Staff>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let lang = Lang::of(request);
        let token = request.cookie(COOKIE).map(|cookie| Secret::from(cookie.value().to_owned()));
        let staffing = request.app_data::<Data<Staffing>>().cloned();
        let request_id = request.extensions().get::<RequestId>().map_or(Uuid::nil(), |id| id.0);
        Box::pin(async move {
            let over = || Trouble::new(What::Signed, lang).back_to("/sign-in");
            let (token, staffing) = (token.ok_or_else(over)?, staffing.ok_or_else(over)?);
            let signed = staffing.session(&token).await.map_err(|error| of_staff(error, lang))?;
            Ok(Staff { signed: signed.ok_or_else(over)?, lang, request_id, token })
        })
    }
}

impl Visitor for Staff {
    const HOME: &'static str = "/console";

    fn is_form_token(&self, token: &str) -> bool {
        self.signed.csrf.matches(token)
    }
}

#[derive(Template)]
#[template(path = "staff/sign_in.html")]
struct SignIn<'a> {
    lang: Lang,
    style: &'static str,
    other: String,
    no: &'static str,
    login: &'a str,
}

fn sign_in_page(
    request: &HttpRequest,
    status: StatusCode,
    (no, login): (&'static str, &str),
) -> Result<HttpResponse, Trouble> {
    let lang = Lang::of(request);
    let other = page::in_language(request, lang.other());
    page::html(status, &SignIn { lang, style: assets::STAFF_CSS.address(), other, no, login })
}

/// Asks who is there.
pub async fn show(request: HttpRequest) -> Result<HttpResponse, Trouble> {
    sign_in_page(&request, StatusCode::OK, ("", ""))
}

#[derive(Deserialize)]
pub struct Told {
    login: String,
    password: String,
    code: String,
}

/// Lets somebody in. Whatever is wrong, the answer is the same.
pub async fn sign_in(
    staffing: Data<Staffing>,
    doors: Data<Doors>,
    request: HttpRequest,
    form: Form<Told>,
) -> Result<HttpResponse, Trouble> {
    let lang = Lang::of(&request);
    // Nobody is signed in by another site's form, as somebody else.
    if !is_same_site(&request) {
        return Err(Trouble::new(What::Form, lang).back_to("/sign-in"));
    }
    let Told { login, password, code } = form.into_inner();
    let login = login.trim();
    // Shown again if it is a login: what is none may be a password.
    let typed = login.parse::<Login>().map(|login| login.to_string()).unwrap_or_default();
    let no = |status, why| sign_in_page(&request, status, (why, &typed));
    if let Err(early) = tried(&doors, &request) {
        let mut again = no(StatusCode::TOO_MANY_REQUESTS, lang.why_rate_limited())?;
        early.say_when(&mut again);
        return Ok(again);
    }
    let totp = code.trim().to_owned().into();
    let attempt = Attempt { login: login.to_owned().into(), password: password.into(), totp };
    match staffing.sign_in(attempt).await {
        Ok(session) => Ok(signed_in(&session, "/console")),
        Err(staff::Error::Refused) => no(StatusCode::UNPROCESSABLE_ENTITY, lang.sign_in_refused()),
        Err(other) => Err(of_staff(other, lang).back_to("/sign-in")),
    }
}

/// Counts a try of this address.
pub(super) fn tried(doors: &Doors, request: &HttpRequest) -> Result<(), Trouble> {
    let lang = Lang::of(request);
    let client = forwarded::client(request).ok_or_else(|| Trouble::new(What::Form, lang))?;
    doors.0.check(client).map_err(|early| Trouble::new(What::Problem(early), lang).back_to("/sign-in"))
}

/// Gives the browser the session, and leads on.
pub fn signed_in(session: &staff::Session, to: &str) -> HttpResponse {
    let mut answer = page::see_other(to);
    put(&mut answer, cookie(session.token.expose()).finish());
    answer
}

/// Ends this session.
pub async fn sign_out(staffing: Data<Staffing>, posted: Posted<Staff, Nothing>) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    staffing.sign_out(&staff.token).await.map_err(staff.refused("/console"))?;
    Ok(signed_out())
}

/// Ends every session of whoever is there, this one too.
pub async fn sign_out_everywhere(
    staffing: Data<Staffing>,
    posted: Posted<Staff, Nothing>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    staffing.sign_out_everywhere(&staff.signed).await.map_err(staff.refused("/console"))?;
    Ok(signed_out())
}

fn signed_out() -> HttpResponse {
    let mut answer = page::see_other("/sign-in");
    let mut gone = cookie("").finish();
    gone.make_removal();
    put(&mut answer, gone);
    answer
}

/// Strict: no other site leads in here.
fn cookie(value: &str) -> actix_web::cookie::CookieBuilder<'_> {
    Cookie::build(COOKIE, value).path("/").secure(true).http_only(true).same_site(SameSite::Strict)
}

fn put(answer: &mut HttpResponse, cookie: Cookie<'_>) {
    // Base64url: nothing that could not be a header.
    let _ = answer.add_cookie(&cookie);
}
