//! What is still to be paid, to whom and by when; and payments, recorded by who is paid or by the operator.

use super::super::session::Staff;
use super::super::shell::{Place, Shell};
use super::windows::{DueShown, due_shown};
use super::{amount, money, no, not_found, unfit};
use crate::domain::ids::ObligationId;
use crate::domain::staff::Permission;
use crate::service::exchange::Exchange;
use crate::service::settlement::Error;
use crate::service::settlement::desk::{self, Due};
use crate::service::settlement::pay::{self, Paid};
use crate::service::staff::Act;
use crate::service::staff::log::{self, Actor};
use crate::web::form::Posted;
use crate::web::lang::Lang;
use crate::web::page;
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use chrono::NaiveDate;
use diesel::PgConnection;
use serde::Deserialize;

const PAYMENTS: &str = "/console/payments";

struct OpenShown {
    window: i64,
    due: DueShown,
    left: String,
    /// Offered in the form.
    left_exact: String,
    may_record: bool,
}

#[derive(Template)]
#[template(path = "staff/finance/payments.html")]
struct PaymentsPage<'a> {
    shell: &'a Shell,
    dues: Vec<OpenShown>,
    currency: String,
    too_new: bool,
}

/// What is not paid in full, by due date.
pub async fn list(exchange: Data<Exchange>, request: HttpRequest, staff: Staff) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let dues = desk::dues(&exchange, staff.holder()).await.map_err(no(&staff, "/console"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Payments);
    let may_pay = staff.signed.may_be_one_of_two(Permission::Pay);
    let too_new = staff.is_too_new(Permission::Pay) && dues.iter().any(|due| due.may_record);
    let open = |due: &Due| OpenShown {
        window: due.window,
        due: due_shown(&shell, &due.row),
        left: money(&due.left.to_string()),
        left_exact: due.left.to_string(),
        may_record: may_pay && due.may_record,
    };
    let dues = dues.iter().map(open).collect();
    page::html(StatusCode::OK, &PaymentsPage { dues, currency: exchange.currency(), too_new, shell: &shell })
}

#[derive(Deserialize)]
pub struct Recorded {
    amount: String,
    on: String,
    reference: String,
}

/// Records a payment; the same reference again is the same payment.
pub async fn record(
    exchange: Data<Exchange>,
    posted: Posted<Staff, Recorded>,
    obligation: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check_one_of_two(Permission::Pay)?;
    let obligation: ObligationId = obligation.parse().map_err(|_| not_found(&staff, PAYMENTS))?;
    let paid = paid(&staff, obligation, &form)?;
    let (holder, actor) = (staff.holder().clone(), Actor::from(&staff.signed));
    let unit = move |conn: &mut PgConnection| {
        let recorded = pay::record(conn, &holder, &paid)?;
        let act = (!recorded.repeated).then(|| act_of(&recorded));
        Ok((recorded, act))
    };
    // The turn is kept until the log's entry is there as well.
    let work = move |conn: &mut PgConnection| pay::in_turn(conn, |conn| log::acting(conn, &actor, unit));
    let recorded = exchange.database.run(work).await.map_err(no::<Error>(&staff, PAYMENTS))?;
    Ok(page::see_other(&format!("/console/windows/{}", recorded.obligation.number)))
}

fn act_of(recorded: &pay::Recorded) -> Act {
    let payment = &recorded.payment;
    let act = Act::new("payment.recorded", payment.obligation).with("amount", payment.amount);
    act.with("reference", &payment.reference).with("payment", payment.id)
}

fn paid(staff: &Staff, obligation: ObligationId, form: &Recorded) -> Result<Paid, Trouble> {
    let on = Some(form.on.trim()).filter(|text| !text.is_empty());
    let no_day = || unfit(staff, PAYMENTS, Lang::why_day_unfit);
    let on = on.map(|text| text.parse::<NaiveDate>().map_err(|_| no_day())).transpose()?;
    Ok(Paid {
        obligation,
        amount: amount(staff, PAYMENTS, &form.amount)?,
        on,
        reference: form.reference.trim().to_owned(),
        entry: None,
        by: staff.signed.login.to_string(),
    })
}
