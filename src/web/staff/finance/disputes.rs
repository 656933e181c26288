//! Disputes: what is said to be wrong with lines, opened, answered, withdrawn, and decided by four eyes.

use super::super::session::Staff;
use super::super::shell::{Place, Shell};
use super::tables::Fact;
use super::{WINDOWS, amount, id_of, money, no, not_found, note, partner, party, unfit};
use crate::domain::holder::Holder;
use crate::domain::ids::{DisputeId, LineId};
use crate::domain::settlement::Participant;
use crate::domain::settlement::dispute::{Answer, Claimed, Kind, Outcome, State};
use crate::domain::staff::Permission;
use crate::service::exchange::Exchange;
use crate::service::settlement::desk;
use crate::service::settlement::disputes::{self, About, Decision, Error, Opening, Viewer, Whole};
use crate::service::staff::{Act, Staffing};
use crate::web::form::{Nothing, Posted};
use crate::web::lang::Lang;
use crate::web::page;
use crate::web::trouble::{Trouble, What};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;
use diesel::PgConnection;
use serde::Deserialize;

const DISPUTES: &str = "/console/disputes";
/// Disputes of one page.
const PAGE: i64 = 50;
/// Kinds that a line may be disputed as; what is missing has none.
const KINDS: [Kind; 5] = [Kind::Amount, Kind::Rate, Kind::Duplicate, Kind::Eligibility, Kind::Identity];

#[derive(Debug, Deserialize)]
pub struct Search {
    state: Option<String>,
    before: Option<String>,
}

struct DisputeShown {
    id: String,
    opened: String,
    opener: String,
    counterparty: String,
    kind: &'static str,
    claim: String,
    state: &'static str,
    look: &'static str,
    window: i64,
}

#[derive(Template)]
#[template(path = "staff/finance/disputes.html")]
struct DisputesPage<'a> {
    shell: &'a Shell,
    disputes: Vec<DisputeShown>,
    /// Code, text, and whether it is chosen.
    states: Vec<(&'static str, &'static str, bool)>,
    next: Option<String>,
    currency: String,
}

/// Those this person's house is a party to, newest first; the operator sees all.
pub async fn list(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    search: Query<Search>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let state = search.state.as_deref().and_then(State::parse);
    let before = search.before.as_deref().and_then(|id| id.parse().ok());
    let viewer = Viewer::from(staff.holder());
    let work = move |conn: &mut _| disputes::list(conn, &viewer, state, before, PAGE);
    let found = exchange.database.run(work).await.map_err(no::<Error>(&staff, "/console"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Disputes);
    let is_full = i64::try_from(found.len()).is_ok_and(|found| found >= PAGE);
    let query = state.map(|state| format!("state={}&", state.code())).unwrap_or_default();
    let shown = DisputesPage {
        states: State::ALL.map(|one| (one.code(), shell.lang.dispute_state(one).0, Some(one) == state)).to_vec(),
        next: found.last().filter(|_| is_full).map(|last| format!("{DISPUTES}?{query}before={}", last.row.id)),
        disputes: found.iter().map(|whole| dispute_shown(&shell, whole)).collect(),
        currency: exchange.currency(),
        shell: &shell,
    };
    page::html(StatusCode::OK, &shown)
}

fn dispute_shown(shell: &Shell, whole: &Whole) -> DisputeShown {
    let row = &whole.row;
    let (state, look) = shell.lang.dispute_state(row.state);
    let counterparty = row.parties.counterparty.as_ref();
    DisputeShown {
        id: row.id.to_string(),
        opened: shell.instant(row.opened_at),
        opener: party(shell, row.parties.opener.as_str()),
        counterparty: counterparty.map(|with| party(shell, with.as_str())).unwrap_or_default(),
        kind: shell.lang.dispute_kind(row.kind),
        claim: row.claim.map(|claim| money(&claim.to_string())).unwrap_or_default(),
        state,
        look,
        window: row.number,
    }
}

struct StepShown {
    what: &'static str,
    at: String,
    text: String,
}

#[derive(Template)]
#[template(path = "staff/finance/dispute.html")]
struct DisputePage<'a> {
    shell: &'a Shell,
    dispute: DisputeShown,
    facts: Vec<Fact>,
    steps: Vec<StepShown>,
    /// Who would be asked to give an award that no counterparty is named for.
    names_nobody: bool,
    may_answer: bool,
    may_withdraw: bool,
    may_propose: bool,
    /// The proposal of somebody else, to be decided by the same words: outcome, amount, counterparty, reason.
    to_confirm: Option<[String; 4]>,
    may_take_back: bool,
    /// Whoever is here will decide one day, and does not yet.
    is_too_new: bool,
    /// Whoever is here wanted to dispute this once more.
    is_again: bool,
    typed: Typed,
    /// Why what was typed will not do.
    no: String,
}

/// What was typed into one of the forms.
#[derive(Default)]
struct Typed {
    answer: String,
    note: String,
    outcome: String,
    amount: String,
    counterparty: String,
    reason: String,
}

/// One dispute with what was said about it, and what this person may do.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let id = dispute_id(&staff, &id)?;
    page_of(&exchange, &request, &staff, id, None).await
}

/// As it stands, with a form as it was filled in and why it will not do.
async fn page_of(
    exchange: &Exchange,
    request: &HttpRequest,
    staff: &Staff,
    id: DisputeId,
    no_of: Option<(Typed, Trouble)>,
) -> Result<HttpResponse, Trouble> {
    let viewer = Viewer::from(staff.holder());
    let whole = exchange.database.run(move |conn| disputes::get(conn, &viewer, id)).await;
    let whole = whole.map_err(no::<Error>(staff, DISPUTES))?;
    let shell = Shell::new(exchange, staff, request, Place::Disputes);
    let Some((typed, no)) = no_of else {
        let is_again = request.query_string().split('&').any(|part| part == "again");
        return page::html(StatusCode::OK, &DisputePage { is_again, ..dispute_page(&shell, staff, &whole) });
    };
    let shell = shell.once();
    let page = DisputePage { typed, no: no.reason(), ..dispute_page(&shell, staff, &whole) };
    page::html(no.status_code(), &page)
}

/// Goes on to the dispute, or shows the form again.
async fn answered(
    exchange: &Exchange,
    request: &HttpRequest,
    staff: &Staff,
    id: DisputeId,
    (done, typed): (Result<(Whole, bool), Trouble>, Typed),
) -> Result<HttpResponse, Trouble> {
    match done {
        Ok(_) => Ok(to(id)),
        Err(no) if no.is_about_a_form() => page_of(exchange, request, staff, id, Some((typed, no))).await,
        Err(other) => Err(other),
    }
}

fn dispute_id(staff: &Staff, text: &str) -> Result<DisputeId, Trouble> {
    text.parse().map_err(|_| not_found(staff, DISPUTES))
}

fn dispute_page<'a>(shell: &'a Shell, staff: &Staff, whole: &Whole) -> DisputePage<'a> {
    let own = desk::own(staff.holder());
    let row = &whole.row;
    let is_pending = matches!(row.state, State::Open | State::Answered);
    let may_dispute = staff.signed.may(Permission::Dispute) && is_pending;
    let may_decide = staff.signed.may_be_one_of_two(Permission::DecideDisputes) && is_pending;
    let proposed = whole.proposed.as_ref().filter(|proposed| proposed.settled.is_none() && may_decide);
    let confirm = proposed.filter(|proposed| proposed.by != staff.holder().name());
    DisputePage {
        dispute: dispute_shown(shell, whole),
        facts: facts(shell, whole),
        steps: steps(shell, staff, whole),
        names_nobody: row.parties.counterparty.is_none(),
        may_answer: may_dispute && whole.answered.is_none() && row.parties.counterparty.as_ref() == Some(&own),
        may_withdraw: may_dispute && row.parties.opener == own,
        may_propose: may_decide && proposed.is_none(),
        to_confirm: confirm.map(|proposed| {
            [
                proposed.outcome.code().to_owned(),
                proposed.award.map(|award| award.to_string()).unwrap_or_default(),
                proposed.counterparty.as_ref().map(ToString::to_string).unwrap_or_default(),
                proposed.reason.clone(),
            ]
        }),
        may_take_back: proposed.is_some(),
        is_too_new: staff.is_too_new(Permission::DecideDisputes) && is_pending,
        is_again: false,
        typed: Typed::default(),
        no: String::new(),
        shell,
    }
}

fn facts(shell: &Shell, whole: &Whole) -> Vec<Fact> {
    let (lang, row) = (shell.lang, &whole.row);
    let figures = |points: Option<i64>, amount: Option<crate::domain::money::Millionths>| {
        let points = points.map(|points| lang.points_count(lang.number(points)));
        let amount = amount.map(|amount| shell.money(amount));
        points.into_iter().chain(amount).collect::<Vec<_>>().join(", ")
    };
    let text = |id: Option<String>| id.unwrap_or_default();
    let facts = [
        (lang.opener(), party(shell, row.parties.opener.as_str())),
        (lang.counterparty(), text(row.parties.counterparty.as_ref().map(|with| party(shell, with.as_str())))),
        (lang.stated(), figures(row.stated_points, row.stated_amount)),
        (lang.claimed(), figures(row.claimed_points, row.claimed_amount)),
        (lang.claims(), text(row.claim.map(|claim| shell.money(claim)))),
        (lang.answer_by(), lang.day(row.answer_by)),
        (lang.line_id(), text(row.line.map(|id| id.to_string()))),
        (lang.conversion_id(), text(row.conversion.map(|id| id.to_string()))),
    ];
    facts.into_iter().map(|(label, value)| Fact { label: label.to_owned(), value }).collect()
}

/// What happened, oldest first. Who has proposed and decided is the operator's own matter, and so is what is only proposed.
fn steps(shell: &Shell, staff: &Staff, whole: &Whole) -> Vec<StepShown> {
    let (lang, row) = (shell.lang, &whole.row);
    let is_operator = staff.signed.partner().is_none();
    let mut steps =
        vec![StepShown { what: lang.step_opened(), at: shell.instant(row.opened_at), text: row.note.clone() }];
    if let Some(said) = &whole.answered {
        let answer = match said.answer {
            Answer::Accepted => lang.accepted(),
            Answer::Rejected => lang.rejected(),
        };
        let text = format!("{answer}: {}", said.note);
        steps.push(StepShown { what: lang.step_answered(), at: shell.instant(said.at), text });
    }
    if let Some(proposed) = &whole.proposed {
        let outcome = match proposed.outcome {
            Outcome::Upheld => lang.upheld(),
            Outcome::Rejected => lang.rejected(),
        };
        let award = proposed.award.map(|award| format!(" {}", shell.money(award))).unwrap_or_default();
        let said = format!("{outcome}{award}: {}", proposed.reason);
        if is_operator {
            let text = format!("{said} ({})", proposed.by);
            steps.push(StepShown { what: lang.step_proposed(), at: shell.instant(proposed.at), text });
        }
        if let Some(settled) = &proposed.settled {
            let adjusted = settled.adjustment.map(|id| format!(" · {} {id}", lang.adjustment())).unwrap_or_default();
            let by = if is_operator { format!(" ({})", settled.by) } else { String::new() };
            let text = format!("{said}{adjusted}{by}");
            steps.push(StepShown { what: lang.step_decided(), at: shell.instant(settled.at), text });
        }
    }
    if row.state == State::Withdrawn {
        let text = String::new();
        steps.push(StepShown { what: lang.step_withdrawn(), at: shell.instant(row.state_at), text });
    }
    steps
}

#[derive(Debug, Deserialize)]
pub struct OfLine {
    line: String,
}

#[derive(Template)]
#[template(path = "staff/finance/dispute_form.html")]
struct FormPage<'a> {
    shell: &'a Shell,
    number: String,
    line: String,
    facts: Vec<Fact>,
    /// Code, text, and whether it is chosen.
    kinds: Vec<(&'static str, &'static str, bool)>,
    typed: Opened,
    /// Why what was typed will not do.
    no: String,
}

/// A form to dispute one of the house's own lines.
pub async fn form(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    window: Path<String>,
    of: Query<OfLine>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::Dispute)?;
    let typed = Opened { line: of.into_inner().line, ..Opened::default() };
    form_page(&exchange, &request, &staff, &window, (typed, None)).await
}

/// The form as it was filled in, and why it will not do.
async fn form_page(
    exchange: &Exchange,
    request: &HttpRequest,
    staff: &Staff,
    window: &str,
    (typed, no): (Opened, Option<Trouble>),
) -> Result<HttpResponse, Trouble> {
    let own = Participant::from(partner(staff, DISPUTES)?);
    let id = id_of(exchange, staff, window).await?;
    let line_id: LineId = typed.line.parse().map_err(|_| not_found(staff, WINDOWS))?;
    let line = desk::line(exchange, own, id, line_id).await.map_err(no_of(staff))?;
    let shell = Shell::new(exchange, staff, request, Place::Disputes);
    let shell = if no.is_some() { shell.once() } else { shell };
    let lang = shell.lang;
    let facts = [
        (lang.counterparty(), party(&shell, line.counterparty.as_str())),
        (lang.points_in(), line.points.map(|points| lang.number(points)).unwrap_or_default()),
        (lang.amount(), shell.money(line.amount)),
        (lang.conversion_id(), line.conversion.map(|id| id.to_string()).unwrap_or_default()),
        (lang.own_reference(), line.reference.unwrap_or_default()),
    ];
    let status = no.as_ref().map_or(StatusCode::OK, ResponseError::status_code);
    let form = FormPage {
        number: window.to_owned(),
        line: line_id.to_string(),
        facts: facts.into_iter().map(|(label, value)| Fact { label: label.to_owned(), value }).collect(),
        kinds: KINDS.map(|kind| (kind.code(), lang.dispute_kind(kind), kind.code() == typed.kind)).to_vec(),
        no: no.map(|no| no.reason()).unwrap_or_default(),
        typed,
        shell: &shell,
    };
    page::html(status, &form)
}

fn no_of(staff: &Staff) -> impl Fn(crate::service::settlement::Error) -> Trouble + use<> {
    no(staff, WINDOWS)
}

#[derive(Default, Deserialize)]
pub struct Opened {
    line: String,
    kind: String,
    claimed_points: String,
    claimed_amount: String,
    note: String,
}

/// Opens a dispute of a line.
pub async fn open(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    request: HttpRequest,
    posted: Posted<Staff, Opened>,
    window: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check(Permission::Dispute)?;
    match opened(&exchange, &staffing, &staff, &window, &form).await {
        Ok((whole, new)) => {
            // Of this kind there is one: who disputes a line again is shown that one, and told so.
            let again = if new { "" } else { "?again" };
            Ok(page::see_other(&format!("{DISPUTES}/{}{again}", whole.row.id)))
        }
        Err(no) if no.is_about_a_form() => form_page(&exchange, &request, &staff, &window, (form, Some(no))).await,
        Err(other) => Err(other),
    }
}

async fn opened(
    exchange: &Exchange,
    staffing: &Staffing,
    staff: &Staff,
    window: &str,
    form: &Opened,
) -> Result<(Whole, bool), Trouble> {
    let opener = partner(staff, DISPUTES)?.clone();
    let id = id_of(exchange, staff, window).await?;
    let opening = opening(staff, form)?;
    act(staffing, staff, "dispute.opened", move |conn| disputes::open(conn, &opener, id, &opening)).await
}

fn opening(staff: &Staff, form: &Opened) -> Result<Opening, Trouble> {
    let line = form.line.parse().map_err(|_| not_found(staff, WINDOWS))?;
    let kind = Kind::parse(&form.kind).ok_or_else(|| unfit(staff, DISPUTES, Lang::why_kind_unfit))?;
    let points = form.claimed_points.trim().replace(',', "");
    let points = (!points.is_empty()).then(|| points.parse::<i64>()).transpose();
    let points = points.ok().filter(|points| points.is_none_or(|points| points.unsigned_abs() < 1 << 53));
    let points = points.ok_or_else(|| unfit(staff, DISPUTES, Lang::why_points_unfit))?;
    let amount = amount(staff, DISPUTES, &form.claimed_amount)?;
    let note = note(staff, DISPUTES, &form.note)?;
    let claimed = Claimed { points, amount };
    Ok(Opening { about: About::Line(line), kind, counterparty: None, claimed, note, reconciliation: None })
}

/// Takes a step and logs it with it, if it has changed anything.
async fn act(
    staffing: &Staffing,
    staff: &Staff,
    action: &'static str,
    step: impl FnOnce(&mut PgConnection) -> Result<(Whole, bool), Error> + Send + 'static,
) -> Result<(Whole, bool), Trouble> {
    let unit = move |conn: &mut PgConnection| {
        let (whole, changed) = step(conn)?;
        let row = &whole.row;
        // What a second one says to a proposal decides it.
        let action = if row.state == State::Decided { "dispute.decided" } else { action };
        let act = Act::new(action, row.id).with("window", row.number).with("state", row.state.code());
        Ok(((whole, changed), changed.then_some(act)))
    };
    staffing.acting(&staff.signed, unit).await.map_err(no::<Error>(staff, DISPUTES))
}

/// Goes on to the dispute.
fn to(id: DisputeId) -> HttpResponse {
    page::see_other(&format!("{DISPUTES}/{id}"))
}

#[derive(Deserialize)]
pub struct Answered {
    answer: String,
    note: String,
}

/// The counterparty's answer.
pub async fn answer(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    request: HttpRequest,
    posted: Posted<Staff, Answered>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check(Permission::Dispute)?;
    let id = dispute_id(&staff, &id)?;
    let done = match said(&staff, &form) {
        Ok((said, note)) => {
            let by = staff.holder().clone();
            let work = move |conn: &mut _| disputes::answer(conn, &by, id, (said, &note));
            act(&staffing, &staff, "dispute.answered", work).await
        }
        Err(no) => Err(no),
    };
    let typed = Typed { answer: form.answer, note: form.note, ..Typed::default() };
    answered(&exchange, &request, &staff, id, (done, typed)).await
}

fn said(staff: &Staff, form: &Answered) -> Result<(Answer, String), Trouble> {
    let said = Answer::parse(&form.answer);
    let said = said.ok_or_else(|| unfit(staff, DISPUTES, Lang::why_answer_unfit))?;
    Ok((said, note(staff, DISPUTES, &form.note)?))
}

/// Its opener lets it go.
pub async fn withdraw(
    staffing: Data<Staffing>,
    posted: Posted<Staff, Nothing>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    staff.check(Permission::Dispute)?;
    let (opener, id) = (partner(&staff, DISPUTES)?.clone(), dispute_id(&staff, &id)?);
    act(&staffing, &staff, "dispute.withdrawn", move |conn| disputes::withdraw(conn, &opener, id)).await?;
    Ok(to(id))
}

#[derive(Deserialize)]
pub struct Decided {
    outcome: String,
    amount: String,
    #[serde(default)]
    counterparty: String,
    reason: String,
}

/// The name by which an operator's decisions count.
fn operator(staff: &Staff) -> Result<String, Trouble> {
    match staff.holder() {
        Holder::Operator(name) => Ok(name.clone()),
        Holder::Partner(_) => Err(Trouble::new(What::Role, staff.lang).back_to(DISPUTES)),
    }
}

/// Proposes, or decides what somebody else has proposed.
pub async fn decide(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    request: HttpRequest,
    posted: Posted<Staff, Decided>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check_one_of_two(Permission::DecideDisputes)?;
    let (by, id) = (operator(&staff)?, dispute_id(&staff, &id)?);
    let done = match decision(&staff, &form) {
        Ok(decision) => {
            let work = move |conn: &mut _| disputes::decide(conn, &by, id, &decision);
            act(&staffing, &staff, "dispute.proposed", work).await
        }
        Err(no) => Err(no),
    };
    let Decided { outcome, amount, counterparty, reason } = form;
    let typed = Typed { outcome, amount, counterparty, reason, ..Typed::default() };
    answered(&exchange, &request, &staff, id, (done, typed)).await
}

fn decision(staff: &Staff, form: &Decided) -> Result<Decision, Trouble> {
    let outcome = Outcome::parse(&form.outcome);
    let outcome = outcome.ok_or_else(|| unfit(staff, DISPUTES, Lang::why_decision_unfit))?;
    let amount = amount(staff, DISPUTES, &form.amount)?;
    let named = Some(form.counterparty.trim()).filter(|text| !text.is_empty());
    let no_partner = || unfit(staff, DISPUTES, Lang::why_giver_unfit);
    let counterparty = named.map(|text| Participant::parse(text).ok_or_else(no_partner)).transpose()?;
    Ok(Decision { outcome, amount, counterparty, reason: note(staff, DISPUTES, &form.reason)? })
}

/// Takes a proposal back that nobody has decided by.
pub async fn take_back(
    staffing: Data<Staffing>,
    posted: Posted<Staff, Nothing>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    staff.check(Permission::DecideDisputes)?;
    let (by, id) = (operator(&staff)?, dispute_id(&staff, &id)?);
    act(&staffing, &staff, "dispute.taken_back", move |conn| disputes::take_back(conn, &by, id)).await?;
    Ok(to(id))
}
