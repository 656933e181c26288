//! `/v1/reports`: finance reports, of the caller for a partner, of everybody for an operator.

use crate::domain::holder::Holder;
use crate::domain::settlement::Participant;
use crate::http::problem::{Code, Problem};
use crate::http::{Caller, StrictQuery};
use crate::service::exchange::Exchange;
use crate::service::reports::Form;
use crate::service::settlement::Error;
use crate::service::settlement::reports::Name;
use crate::service::settlement::view::{self, Asked, Unmade, Which};
use actix_web::HttpResponse;
use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType};
use actix_web::web::{Data, Path};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};

#[derive(OpenApi)]
#[openapi(paths(get))]
pub struct Document;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Of `statement`, `pairs`, `summary`, `journal` and `invoices`, and of `exposures` if they are wanted as a window left
    /// them: the window's number or its id.
    #[param(pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$")]
    window: Option<String>,
    /// For operators: whose; everybody's unless said.
    #[param(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    participant: Option<String>,
    /// `json` unless said; `csv` begins with a byte order mark, `csv_plain` does not.
    #[param(pattern = "^(json|csv|csv_plain|xlsx|html)$")]
    format: Option<String>,
    /// Of `csv`: which section; the first unless said.
    #[param(pattern = "^[a-z_]{1,32}$")]
    section: Option<String>,
}

/// One report: `statement`, `pairs`, `summary` (operators alone), `journal`, `invoices`, `exposures`, `liability`, `points`,
/// `ageing`, `rates`.
#[utoipa::path(get, path = "/v1/reports/{name}", tag = "settlement",
    params(("name" = String, Path, pattern = "^[a-z]{1,32}$"), Wanted),
    responses((status = 200, description = "The report", content(("application/json"), ("text/csv"), ("text/html"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub async fn get(
    exchange: Data<Exchange>,
    caller: Caller,
    name: Path<String>,
    wanted: StrictQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    let (asked, media_type) = asked(&caller, &name, wanted.0)?;
    let (file, bytes) = view::report(&exchange, asked).await.map_err(refused)?;
    let disposition = ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(file)],
    };
    Ok(HttpResponse::Ok().content_type(media_type).insert_header(disposition).body(bytes))
}

/// What cannot be said of a window as it stands is no matter of who asks.
fn refused(unmade: Unmade) -> Problem {
    match unmade {
        Unmade::Section(known) => Problem::field("?section", format!("must be one of {}", known.join(", "))),
        Unmade::Settlement(Error::Refused(why)) => Problem::field("?window", why),
        Unmade::Settlement(other) => other.into(),
    }
}

fn asked(caller: &Caller, name: &str, wanted: Wanted) -> Result<(Asked, &'static str), Problem> {
    let name = Name::parse(name).ok_or_else(Problem::not_found)?;
    let form = wanted.format.as_deref().unwrap_or("json");
    let form =
        Form::parse(form).ok_or_else(|| Problem::field("?format", "must be json, csv, csv_plain, xlsx or html"))?;
    if wanted.section.is_some() && !matches!(form, Form::Csv | Form::CsvPlain) {
        return Err(Problem::field("?section", "is for csv and csv_plain alone: the other formats have every section"));
    }
    if name.needs_window() && wanted.window.is_none() {
        return Err(Problem::field("?window", "is required for this report"));
    }
    let window = wanted.window.as_deref().map(|text| {
        Which::parse(text).ok_or_else(|| Problem::field("?window", "must be the number or the id of a window"))
    });
    let window = window.transpose()?;
    let named = wanted.participant.as_deref().map(|text| Participant::parse(text).ok_or_else(Problem::not_found));
    let (participant, published) = match (&caller.kind, named.transpose()?) {
        (Holder::Partner(_), _) if !name.is_for_partners() => {
            return Err(Problem::new(Code::Forbidden).detail("Only an operator may call this."));
        }
        (Holder::Partner(slug), None) => (Some(Participant::from(slug)), true),
        (Holder::Partner(slug), Some(named)) if named == Participant::from(slug) => (Some(named), true),
        (Holder::Partner(_), Some(_)) => return Err(Problem::not_found()),
        (Holder::Operator(_), named) => (named, false),
    };
    if participant.is_some() && !name.is_for_partners() {
        return Err(Problem::field("?participant", "must be left out: this report is of the whole alliance"));
    }
    if name.needs_participant() && participant.is_none() {
        return Err(Problem::field("?participant", "is required for this report"));
    }
    let asked = Asked { name, window, participant, form, section: wanted.section, published };
    Ok((asked, form.media_type()))
}
