//! Setting up one's own login, by an address that is used once: a password, then one code of the new authenticator.

use super::session::{of_staff, signed_in, tried};
use crate::domain::staff::{Login, Secret};
use crate::http::rate_limit::Doors;
use crate::service::staff::{self, Chosen, Confirmed, Staffing, Unfit};
use crate::web::form::is_same_site;
use crate::web::lang::Lang;
use crate::web::trouble::{Trouble, What};
use crate::web::{assets, page};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "staff/enrol.html")]
struct PasswordPage<'a> {
    lang: Lang,
    style: &'static str,
    script: &'static str,
    /// This page in the other language, where that loses nothing.
    other: String,
    code: &'a str,
    form_token: &'a str,
    login: &'a str,
    no: &'a str,
}

fn password_page(request: &HttpRequest, code: &Secret, login: &Login, no: &str) -> Result<HttpResponse, Trouble> {
    let lang = Lang::of(request);
    let other = if no.is_empty() { page::in_language(request, lang.other()) } else { String::new() };
    let token = staff::form_token(code);
    let page = PasswordPage {
        lang,
        style: assets::STAFF_CSS.address(),
        script: assets::STAFF_JS.address(),
        other,
        code: code.expose(),
        form_token: token.expose(),
        login: login.as_str(),
        no,
    };
    let status = if no.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    page::html(status, &page)
}

#[derive(Template)]
#[template(path = "staff/enrol_code.html")]
struct CodePage<'a> {
    lang: Lang,
    style: &'static str,
    script: &'static str,
    next: &'a str,
    uri: &'a str,
    qr: String,
    login: &'a str,
    no: &'a str,
}

fn code_page(lang: Lang, chosen: &Chosen, no: &str) -> Result<HttpResponse, Trouble> {
    let page = CodePage {
        lang,
        style: assets::STAFF_CSS.address(),
        script: assets::STAFF_JS.address(),
        next: chosen.next.expose(),
        uri: chosen.uri.expose(),
        qr: page::qr(chosen.uri.expose()),
        login: chosen.login.as_str(),
        no,
    };
    let status = if no.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    page::html(status, &page)
}

fn over(error: staff::Error, lang: Lang) -> Trouble {
    match error {
        staff::Error::NotFound => Trouble::new(What::Enrolment, lang),
        other => of_staff(other, lang),
    }
}

/// A form to begin with: looking uses nothing.
pub async fn show(
    staffing: Data<Staffing>,
    doors: Data<Doors>,
    request: HttpRequest,
    code: Path<String>,
) -> Result<HttpResponse, Trouble> {
    tried(&doors, &request)?;
    let (lang, code) = (Lang::of(&request), Secret::from(code.into_inner()));
    let login = staffing.invited(code.clone()).await.map_err(|error| over(error, lang))?;
    password_page(&request, &code, &login, "")
}

#[derive(Deserialize)]
pub struct Typed {
    form_token: String,
    password: String,
    again: String,
}

/// Takes the password, and shows the secret of codes.
pub async fn choose(
    staffing: Data<Staffing>,
    doors: Data<Doors>,
    request: HttpRequest,
    code: Path<String>,
    form: Form<Typed>,
) -> Result<HttpResponse, Trouble> {
    tried(&doors, &request)?;
    let (lang, code) = (Lang::of(&request), Secret::from(code.into_inner()));
    let Typed { form_token, password, again } = form.into_inner();
    if !is_same_site(&request) || !staff::form_token(&code).matches(&form_token) {
        return Err(Trouble::new(What::Form, lang));
    }
    let login = staffing.invited(code.clone()).await.map_err(|error| over(error, lang))?;
    if password != again {
        return password_page(&request, &code, &login, lang.passwords_differ());
    }
    match staffing.choose(code.clone(), password.into()).await {
        Ok(chosen) => code_page(lang, &chosen, ""),
        Err(staff::Error::Unfit(Unfit::Password(_))) => {
            password_page(&request, &code, &login, lang.why_password_unfit())
        }
        Err(other) => Err(over(other, lang)),
    }
}

#[derive(Deserialize)]
pub struct Coded {
    /// Known to whoever has chosen the password alone: the form needs no other token.
    next: String,
    code: String,
}

/// Takes the first code, which makes the login good, and lets its person in.
pub async fn confirm(
    staffing: Data<Staffing>,
    doors: Data<Doors>,
    request: HttpRequest,
    form: Form<Coded>,
) -> Result<HttpResponse, Trouble> {
    tried(&doors, &request)?;
    let lang = Lang::of(&request);
    if !is_same_site(&request) {
        return Err(Trouble::new(What::Form, lang));
    }
    let Coded { next, code } = form.into_inner();
    let code = code.trim().to_owned();
    match staffing.confirm(next.into(), code.into()).await.map_err(|error| over(error, lang))? {
        Confirmed::Session(session) => Ok(signed_in(&session, "/console")),
        Confirmed::Wrong(chosen) => code_page(lang, &chosen, lang.enrol_code_wrong()),
    }
}
