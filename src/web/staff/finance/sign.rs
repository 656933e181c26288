//! Counter-signing: what is signed is shown, the private key stays with the partner, and a signature is brought here.

use super::super::session::Staff;
use super::super::shell::{Place, Shell};
use super::{WINDOWS, id_of, money, no, partner, unfit};
use crate::domain::staff::Permission;
use crate::service::exchange::Exchange;
use crate::service::settlement::desk::{self, OwnKey, ToSign};
use crate::service::settlement::{Error, view};
use crate::service::staff::{Act, Staffing};
use crate::web::form::Posted;
use crate::web::lang::Lang;
use crate::web::trouble::Trouble;
use crate::web::{assets, page};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "staff/finance/sign.html")]
struct SignPage<'a> {
    shell: &'a Shell,
    number: i64,
    partner: String,
    state: &'static str,
    look: &'static str,
    lines: String,
    closing: String,
    to_sign: &'a ToSign,
    /// Of the keys that a browser and the command below sign with.
    plain: Vec<&'a OwnKey>,
    payload_name: String,
    script: &'static str,
}

/// What is signed, by which keys it may be, and how.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    window: Path<String>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SignStatements)?;
    let slug = partner(&staff, WINDOWS)?;
    let id = id_of(&exchange, &staff, &window).await?;
    let to_sign = desk::to_sign(&exchange, slug, id).await.map_err(no(&staff, WINDOWS))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Windows);
    let (state, look) = shell.lang.statement_state(to_sign.state.code());
    let sign = SignPage {
        number: to_sign.number,
        partner: slug.to_string(),
        state,
        look,
        lines: shell.lang.number(to_sign.lines),
        closing: money(&to_sign.closing.to_string()),
        plain: to_sign.keys.iter().filter(|key| key.alg == "EdDSA").collect(),
        payload_name: payload_name(slug.as_str(), to_sign.number),
        script: assets::SIGN_JS.address(),
        to_sign: &to_sign,
        shell: &shell,
    };
    page::html(StatusCode::OK, &sign)
}

fn payload_name(slug: &str, number: i64) -> String {
    format!("{slug}-w{number:04}.payload")
}

/// The text that is signed after a header and a dot.
pub async fn payload(exchange: Data<Exchange>, staff: Staff, window: Path<String>) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SignStatements)?;
    let slug = partner(&staff, WINDOWS)?;
    let id = id_of(&exchange, &staff, &window).await?;
    let to_sign = desk::to_sign(&exchange, slug, id).await.map_err(no(&staff, WINDOWS))?;
    let name = payload_name(slug.as_str(), to_sign.number);
    Ok(super::windows::attachment(name, "text/plain; charset=utf-8", to_sign.payload.into_bytes()))
}

#[derive(Deserialize)]
pub struct Brought {
    signed: String,
}

/// Takes a signature.
pub async fn submit(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    posted: Posted<Staff, Brought>,
    window: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check(Permission::SignStatements)?;
    let slug = partner(&staff, WINDOWS)?.clone();
    let id = id_of(&exchange, &staff, &window).await?;
    let none = || unfit(&staff, WINDOWS, Lang::why_jws_unfit);
    let (protected, signature) = desk::brought(&form.signed).ok_or_else(none)?;
    let ToSign { number, leaf, .. } = desk::to_sign(&exchange, &slug, id).await.map_err(no(&staff, WINDOWS))?;
    let sign = view::countersigning(&exchange, slug.clone(), id, protected, signature);
    let unit = move |conn: &mut _| {
        let (_, kid) = sign(conn)?;
        let signed = |kid| Act::new("statement.signed", id).with("window", number).with("kid", kid).with("leaf", leaf);
        Ok(((), kid.map(signed)))
    };
    staffing.acting(&staff.signed, unit).await.map_err(no::<Error>(&staff, WINDOWS))?;
    Ok(page::see_other(&format!("{WINDOWS}/{number}/statements/{slug}")))
}
