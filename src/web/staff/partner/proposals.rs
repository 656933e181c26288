//! Proposals: what each changes, what going round would give, and approving one with a signature. The private key stays
//! with the partner: the page shows what is signed and how, and takes what came of it.

use crate::domain::ids::ProposalId;
use crate::domain::proposal::Subject;
use crate::domain::staff::Permission;
use crate::http::Problem;
use crate::service::exchange::Exchange;
use crate::service::proposals::{self, Error, JWS_TYPE, Judged, Proposal};
use crate::service::signing_keys;
use crate::service::staff::{Act, Staffing};
use crate::web::form::Posted;
use crate::web::page;
use crate::web::staff::session::Staff;
use crate::web::staff::shell::{Place, Shell};
use crate::web::trouble::{Trouble, What};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

/// Proposals of one page.
const PAGE: i64 = 50;
/// Keys looked through for one to name in the command.
const KEYS: i64 = 50;
const BACK: &str = "/console/proposals";

struct ProposalShown {
    id: String,
    subject: String,
    state: &'static str,
    look: &'static str,
    proposed_at: String,
    approvals: usize,
}

#[derive(Template)]
#[template(path = "staff/partner/proposals.html")]
struct ListPage<'a> {
    shell: &'a Shell,
    proposals: Vec<ProposalShown>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Before {
    before: Option<String>,
}

/// Those this house is a side of, newest first.
pub async fn list(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    before: Query<Before>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeRates)?;
    let before = before.into_inner().before.and_then(|text| text.parse().ok());
    let viewer = staff.signed.partner().cloned();
    let found = proposals::list(&exchange.database, viewer, before, PAGE).await.map_err(refused(&staff))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Proposals);
    let is_full = i64::try_from(found.len()).is_ok_and(|count| count >= PAGE);
    let next = found.last().filter(|_| is_full).map(|last| last.id.to_string());
    let proposals = found.iter().map(|proposal| shown(&shell, proposal)).collect();
    page::html(StatusCode::OK, &ListPage { proposals, next, shell: &shell })
}

fn refused(staff: &Staff) -> impl Fn(Error) -> Trouble + use<> {
    let lang = staff.lang;
    move |error| Trouble::new(What::Problem(Problem::from(error)), lang).back_to(BACK)
}

fn shown(shell: &Shell, proposal: &Proposal) -> ProposalShown {
    let subject = match &proposal.subject {
        Subject::Alliance => shell.lang.name(&shell.catalogue().alliance.name).to_owned(),
        Subject::Partner(slug) => shell.brand_of(slug),
        Subject::Pair(from, to) => shell.lang.direction_of(shell.brand_of(from), shell.brand_of(to)),
    };
    let (state, look) = shell.lang.proposal_state(proposal.state);
    ProposalShown {
        id: proposal.id.to_string(),
        subject,
        state,
        look,
        proposed_at: shell.instant(proposal.proposed_at),
        approvals: proposal.approvals.len(),
    }
}

struct LineShown {
    what: String,
    before: String,
    after: String,
}

#[derive(Template)]
#[template(path = "staff/partner/proposal.html")]
struct ProposalPage<'a> {
    shell: &'a Shell,
    proposal: ProposalShown,
    notice: String,
    not_before: Option<String>,
    missing: Vec<String>,
    lines: Vec<LineShown>,
    /// What going round would give, in words; empty: nothing.
    loops: Vec<String>,
    by_waiting: Vec<String>,
    is_checked: bool,
    is_open: bool,
    may_approve: bool,
    canonical: String,
    command: String,
    /// Why the signature that was sent is none.
    no: Option<String>,
}

/// One with what it comes to.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeRates)?;
    page_of(&exchange, &request, &staff, &id, None).await
}

fn id_of(staff: &Staff, text: &str) -> Result<ProposalId, Trouble> {
    text.parse().map_err(|_| Trouble::not_found(staff.lang).back_to(BACK))
}

async fn page_of(
    exchange: &Exchange,
    request: &HttpRequest,
    staff: &Staff,
    id: &str,
    no: Option<String>,
) -> Result<HttpResponse, Trouble> {
    let id = id_of(staff, id)?;
    let holder = staff.holder();
    let judged = proposals::judged(&exchange.database, holder.clone(), id).await.map_err(refused(staff))?;
    let keys = signing_keys::list(&exchange.database, holder.clone(), None, KEYS).await;
    let keys = keys.map_err(|cause| staff.no(BACK)(cause.into()))?;
    let kid = keys.into_iter().find(|key| key.status == "active").map(|key| key.kid);
    let shell = Shell::new(exchange, staff, request, Place::Proposals);
    let may_approve = staff.signed.may(Permission::ApproveRates);
    let status = if no.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    page::html(status, &ProposalPage { may_approve, no, ..proposal_page(&shell, &judged, kid) })
}

fn proposal_page<'a>(shell: &'a Shell, judged: &Judged, kid: Option<String>) -> ProposalPage<'a> {
    let (lang, proposal) = (shell.lang, &judged.proposal);
    let round = |one: &proposals::Loop| {
        let brands = one.brands.iter().chain(one.brands.first()).map(|slug| shell.brand_of(slug));
        let way = brands.collect::<Vec<_>>().join(" → ");
        let excess = one.excess_basis_points();
        lang.loop_gives(way, format!("{}.{:02} %", excess / 100, excess % 100), shell.instant(one.from))
    };
    let loops = judged.loops.as_ref();
    ProposalPage {
        proposal: shown(shell, proposal),
        notice: lang.so_many_days(proposal.notice_days.into()),
        not_before: judged.not_before.map(|at| shell.instant(at)),
        missing: judged.missing.iter().map(|slug| shell.brand_of(slug)).collect(),
        lines: judged.lines.iter().map(|line| line_of(shell, line)).collect(),
        loops: loops.iter().flat_map(|report| &report.loops).map(round).collect(),
        by_waiting: loops.iter().flat_map(|report| &report.by_waiting).map(round).collect(),
        is_checked: loops.is_some(),
        is_open: proposal.state.is_open(),
        may_approve: false,
        canonical: proposal.change.clone(),
        command: command(&kid.unwrap_or_else(|| lang.your_kid().to_owned())),
        no: None,
        shell,
    }
}

fn line_of(shell: &Shell, line: &proposals::Line) -> LineShown {
    let text = |text: &str| if text.is_empty() { "—".to_owned() } else { text.to_owned() };
    LineShown { what: shell.lang.changed(&line.what), before: text(&line.before), after: text(&line.after) }
}

/// How an Ed25519 key in a file of the partner's own signs the text in `change.json` (RFC 7515 §5.1).
fn command(kid: &str) -> String {
    format!(
        "b64() {{ openssl base64 -A | tr '+/' '-_' | tr -d '='; }}\n\
         head=$(printf '{{\"alg\":\"EdDSA\",\"kid\":\"%s\",\"typ\":\"{JWS_TYPE}\"}}' '{kid}' | b64)\n\
         printf '%s.%s' \"$head\" \"$(b64 < change.json)\" > signed.txt\n\
         printf '%s.%s\\n' \"$(cat signed.txt)\" \"$(openssl pkeyutl -sign -rawin -inkey key.pem -in signed.txt | b64)\""
    )
}

#[derive(Debug, Deserialize)]
pub struct Signed {
    jws: String,
}

/// Takes this house's signature.
pub async fn approve(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    request: HttpRequest,
    posted: Posted<Staff, Signed>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check(Permission::ApproveRates)?;
    let proposal = id_of(&staff, &id)?;
    // Pasted from a terminal: with its line's end, and broken where it was too long for a line.
    let jws: String = form.jws.chars().filter(|c| !c.is_whitespace()).collect();
    let holder = staff.holder().clone();
    let unit = move |conn: &mut _| {
        let (_, kid) = proposals::approve_new(conn, &holder, proposal, &jws)?;
        Ok(((), kid.map(|kid| Act::new("proposal.approved", proposal).with("kid", kid))))
    };
    match staffing.acting(&staff.signed, unit).await {
        Ok(()) => Ok(page::see_other(&format!("{BACK}/{proposal}"))),
        Err(Error::Signature(why)) => {
            let no = staff.lang.no_approval(why);
            page_of(&exchange, &request, &staff, &id, Some(no)).await
        }
        Err(other) => Err(refused(&staff)(other)),
    }
}
