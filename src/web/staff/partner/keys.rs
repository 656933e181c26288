//! Client certificates and signing keys of this house, with their ends.

use crate::clock;
use crate::domain::staff::Permission;
use crate::service::certificates;
use crate::service::exchange::Exchange;
use crate::service::signing_keys;
use crate::web::page;
use crate::web::staff::NEAR_DAYS;
use crate::web::staff::session::Staff;
use crate::web::staff::shell::{Place, Shell};
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

/// Of each kind: a holder has few.
const MOST: i64 = 200;

struct Certificate {
    thumbprint: String,
    serial: String,
    from: String,
    until: String,
    state: String,
    look: &'static str,
}

struct Key {
    kid: String,
    since: String,
    until: String,
    state: &'static str,
    look: &'static str,
}

#[derive(Template)]
#[template(path = "staff/partner/keys.html")]
struct KeysPage<'a> {
    shell: &'a Shell,
    certificates: Vec<Certificate>,
    keys: Vec<Key>,
}

/// All of them.
pub async fn show(exchange: Data<Exchange>, request: HttpRequest, staff: Staff) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeDeliveries)?;
    let (database, holder) = (&exchange.database, staff.holder());
    let certificates = certificates::list(database, holder.clone(), None, MOST).await;
    let mut certificates = certificates.map_err(|cause| staff.no("/console")(cause.into()))?;
    let keys = signing_keys::list(database, holder.clone(), None, MOST).await;
    let keys = keys.map_err(|cause| staff.no("/console")(cause.into()))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Keys);
    certificates.sort_by_key(|row| std::cmp::Reverse(row.not_after));
    let keys_page = KeysPage {
        certificates: certificates.into_iter().map(|row| certificate(&shell, row)).collect(),
        keys: keys.into_iter().map(|row| key(&shell, row)).collect(),
        shell: &shell,
    };
    page::html(StatusCode::OK, &keys_page)
}

fn certificate(shell: &Shell, row: certificates::Row) -> Certificate {
    let days = (row.not_after - clock::now()).num_days();
    let left = shell.lang.health_days(shell.lang.so_many_days(days));
    let (state, look) = match row.status.as_str() {
        "active" if days < 0 => (shell.lang.over().to_owned(), "bad"),
        "active" if days < NEAR_DAYS => (left, "busy"),
        "active" => (left, "good"),
        _ => (shell.lang.revoked().to_owned(), "bad"),
    };
    let (from, until) = (shell.instant(row.not_before), shell.instant(row.not_after));
    Certificate { thumbprint: row.x5t_s256, serial: row.serial, from, until, state, look }
}

fn key(shell: &Shell, row: signing_keys::Row) -> Key {
    let is_active = row.status == "active";
    Key {
        kid: row.kid,
        since: shell.instant(row.created_at),
        until: row.retired_at.map(|at| shell.instant(at)).unwrap_or_default(),
        state: if is_active { shell.lang.in_force() } else { shell.lang.retired() },
        look: if is_active { "good" } else { "" },
    }
}
