//! What is not settled yet against the stop lines, by partner and by direction.

use crate::domain::staff::Permission;
use crate::service::exchange::Exchange;
use crate::service::settlement::exposures::{self, Exposure, Level, Of};
use crate::web::page;
use crate::web::staff::session::Staff;
use crate::web::staff::shell::{Place, Shell};
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

struct Line {
    of: String,
    value: String,
    cap: String,
    /// Of the meter, in millionths; absent without a line.
    used: Option<(i64, i64, i64)>,
    state: &'static str,
    look: &'static str,
}

#[derive(Template)]
#[template(path = "staff/partner/exposures.html")]
struct ExposuresPage<'a> {
    shell: &'a Shell,
    partners: Vec<Line>,
    pairs: Vec<Line>,
}

/// Everything this house is a side of.
pub async fn show(exchange: Data<Exchange>, request: HttpRequest, staff: Staff) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let found = exposures::list(&exchange, staff.holder()).await.map_err(staff.no("/console"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Exposures);
    let (partners, pairs): (Vec<_>, Vec<_>) = found.iter().partition(|one| matches!(one.of, Of::Partner(_)));
    let lines = |all: Vec<&Exposure>| all.into_iter().map(|one| line(&shell, one)).collect();
    page::html(StatusCode::OK, &ExposuresPage { partners: lines(partners), pairs: lines(pairs), shell: &shell })
}

fn line(shell: &Shell, one: &Exposure) -> Line {
    let lang = shell.lang;
    let (state, look) = match (one.cap, one.level()) {
        (None, _) => (lang.no_limit(), ""),
        (Some(_), Level::Within) => (lang.within_limit(), "good"),
        (Some(_), Level::Warned) => (lang.near_limit(), "busy"),
        (Some(_), Level::Reached) => (lang.at_limit(), "bad"),
    };
    Line {
        of: match &one.of {
            Of::Partner(slug) => shell.brand_of(slug),
            Of::Pair(from, to) => lang.direction_of(shell.brand_of(from), shell.brand_of(to)),
        },
        value: shell.money(one.value),
        cap: one.cap.map(|cap| shell.money(cap)).unwrap_or_default(),
        // Whoever is owed uses nothing of its line.
        used: one.cap.map(|cap| (one.value.get().max(0), cap.get(), cap.get() / 5 * 4)),
        state,
        look,
    }
}
