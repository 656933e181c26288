//! Every no, as a page: what happened, that nothing was lost, and where to go on.

use super::assets;
use super::lang::Lang;
use crate::http::Problem;
use crate::http::problem::Code;
use crate::service::command::Hint;
use crate::service::exchange::Error;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use askama::Template;
use std::fmt;

/// Why there is no page.
#[derive(Debug)]
pub struct Trouble {
    what: What,
    lang: Lang,
    /// Where to go on.
    back: &'static str,
}

#[derive(Debug)]
pub enum What {
    /// A one-time address that was used, is over, or never was.
    Opening,
    /// No session, or one that is over.
    Session,
    /// The form did not come from one of our pages of this session.
    Form,
    /// The form is larger than its page takes.
    TooLarge,
    /// An address whose query cannot be read.
    Query,
    /// A method that the address does not take.
    Method,
    /// What the session may not do.
    Scope,
    /// Nobody has signed in, or not lately.
    Signed,
    /// What the role may not do.
    Role,
    /// Whose login is too new to be one of two.
    New,
    /// A one-time address of an enrolment that was used, is over, or never was.
    Enrolment,
    /// A login that somebody has.
    Taken,
    /// A field that will not do: `login`, `operator`, `clerk`, `password`, `role`, `bill`, `reason`, `place`, `receipt`.
    Unfit(&'static str),
    /// The same in words of the page that asks for it.
    Typed(&'static str),
    /// Nobody changes or removes oneself.
    Oneself,
    Busy,
    Problem(Problem),
    /// The same where it is staff that is told: with what the service says of it.
    Told(Problem),
}

impl Trouble {
    pub fn new(what: What, lang: Lang) -> Trouble {
        Trouble { what, lang, back: "" }
    }

    pub fn of(error: Error, lang: Lang) -> Trouble {
        Trouble::new(What::Problem(error.into()), lang)
    }

    pub fn not_found(lang: Lang) -> Trouble {
        Trouble::new(What::Problem(Problem::not_found()), lang)
    }

    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Trouble {
        Trouble::new(What::Problem(Problem::internal(cause)), Lang::default())
    }

    pub fn back_to(self, back: &'static str) -> Trouble {
        Trouble { back, ..self }
    }

    /// Whether it is about what was typed into a form, which is shown again then.
    pub fn is_about_a_form(&self) -> bool {
        matches!(self.status_code(), StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY)
    }

    /// When to come again (RFC 9110 §10.2.3), where it is a matter of time.
    pub fn say_when(&self, answer: &mut HttpResponse) {
        let (What::Problem(problem) | What::Told(problem)) = &self.what else { return };
        if let Some(seconds) = problem.retry_after_s() {
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
    }

    /// What is said of it, beside a form.
    pub fn reason(&self) -> String {
        self.said().1
    }

    fn said(&self) -> (&'static str, String) {
        let lang = self.lang;
        match &self.what {
            What::Opening => (lang.opening_over(), lang.opening_over_why().to_owned()),
            What::Session => (lang.session_over(), lang.session_over_why().to_owned()),
            What::Form => (lang.form_refused(), lang.form_refused_why().to_owned()),
            What::TooLarge => (lang.did_not_work(), lang.told_too_large().to_owned()),
            What::Query | What::Method => (lang.did_not_work(), lang.why_malformed().to_owned()),
            What::Scope => (lang.not_allowed(), lang.not_allowed_why().to_owned()),
            What::Signed => (lang.sign_in_first(), lang.sign_in_first_why().to_owned()),
            What::Role => (lang.not_your_role(), lang.not_your_role_why().to_owned()),
            What::New => (lang.too_new(), lang.too_new_why().to_owned()),
            What::Enrolment => (lang.opening_over(), lang.enrolment_over_why().to_owned()),
            What::Taken => (lang.did_not_work(), lang.why_login_taken().to_owned()),
            What::Unfit("password") => (lang.did_not_work(), lang.why_password_unfit().to_owned()),
            What::Unfit("bill") => (lang.did_not_work(), lang.why_bill_unfit().to_owned()),
            What::Unfit("reason") => (lang.did_not_work(), lang.why_reason_unfit().to_owned()),
            What::Unfit("outcome") => (lang.did_not_work(), lang.why_outcome_unfit().to_owned()),
            What::Unfit("place" | "receipt") => (lang.did_not_work(), lang.why_text_unfit().to_owned()),
            What::Unfit("operator") => (lang.did_not_work(), lang.why_operator_login_unfit().to_owned()),
            What::Unfit("clerk") => (lang.did_not_work(), lang.why_operator_clerk_unfit().to_owned()),
            What::Unfit("role") => (lang.did_not_work(), lang.why_role_unfit().to_owned()),
            What::Unfit(_) => (lang.did_not_work(), lang.why_login_unfit().to_owned()),
            What::Typed(why) => (lang.did_not_work(), (*why).to_owned()),
            What::Oneself => (lang.did_not_work(), lang.why_oneself().to_owned()),
            What::Busy => (lang.did_not_work(), lang.why_busy().to_owned()),
            What::Problem(problem) => (lang.did_not_work(), why(problem, lang)),
            What::Told(problem) => (lang.did_not_work(), told(problem, lang)),
        }
    }
}

/// A problem in a member's words.
pub fn why(problem: &Problem, lang: Lang) -> String {
    let plain = match problem.code() {
        Code::NotFound => lang.why_not_found(),
        Code::QuoteUsed => lang.why_quote_used(),
        Code::QuoteInvalid => lang.why_quote_invalid(),
        Code::QuoteExpired => lang.why_quote_expired(),
        Code::PartnerSuspended => lang.why_partner_suspended(),
        Code::MembershipClosed => lang.why_membership_closed(),
        Code::MembershipFrozen => lang.why_membership_frozen(),
        Code::MemberNotLinked => lang.why_member_not_linked(),
        Code::LinkCoolingOff => lang.why_link_cooling_off(),
        Code::NoRate => lang.why_no_rate(),
        Code::RateWorseThanAsked => lang.why_rate_worse(),
        Code::BelowMinimum => lang.why_below_minimum(),
        Code::AboveMaximum => lang.why_above_maximum(),
        Code::NotAMultiple => return not_a_multiple(problem, lang),
        Code::PointsOwed => lang.why_points_owed(),
        Code::InsufficientPoints => lang.why_insufficient_points(),
        Code::LimitExceeded => return limit_exceeded(problem, lang),
        Code::ExposureExceeded => lang.why_exposure_exceeded(),
        Code::UndoWindowClosed => lang.why_undo_window_closed(),
        Code::PointsSpent => lang.why_points_spent(),
        Code::NotEligible => return not_eligible(problem, lang),
        Code::SoldOut => lang.why_sold_out(),
        Code::AlreadyClaimed => lang.why_already_claimed(),
        Code::VoucherUsed => lang.why_voucher_used(),
        Code::VoucherExpired => lang.why_voucher_expired(),
        Code::VoucherCancelled => lang.why_voucher_cancelled(),
        Code::VoucherNotIssued => lang.why_voucher_not_issued(),
        Code::NotToday => lang.why_not_today(),
        Code::NotStackable => lang.why_not_stackable(),
        Code::BelowThreshold => lang.why_below_threshold(),
        Code::ReversalExceeds => lang.why_reversal_exceeds(),
        Code::IdempotencyMismatch => lang.why_sent_otherwise(),
        Code::Stale => lang.why_stale(),
        Code::Forbidden => lang.not_your_role(),
        // Nobody types a version: the form was of an older one.
        Code::Invalid if problem.is_about("/version") => lang.why_stale(),
        Code::Invalid => lang.why_invalid(),
        Code::QueueFull | Code::Busy | Code::Unavailable | Code::OutcomeUnknown | Code::InFlight => lang.why_busy(),
        Code::RateLimited => lang.why_rate_limited(),
        Code::MethodNotAllowed | Code::Malformed => lang.why_malformed(),
        _ => lang.why_internal(),
    };
    plain.to_owned()
}

/// A problem in the words of somebody at a desk, and then in the service's own, which say which field or day it is.
fn told(problem: &Problem, lang: Lang) -> String {
    let plain = match problem.code() {
        Code::Invalid if problem.is_about("/version") => return lang.told_stale().to_owned(),
        Code::Invalid => lang.told_invalid().to_owned(),
        Code::Stale => lang.told_stale().to_owned(),
        Code::DisputeClosed => lang.told_dispute_closed().to_owned(),
        Code::Forbidden => lang.told_forbidden().to_owned(),
        Code::TooLarge => lang.told_too_large().to_owned(),
        _ => why(problem, lang),
    };
    let body = problem.body(uuid::Uuid::nil());
    let fields = body.errors.iter().map(|error| format!("{}: {}", error.pointer.trim_start_matches('/'), error.detail));
    let said = body.detail.iter().map(ToString::to_string).chain(fields);
    std::iter::once(plain).chain(said).collect::<Vec<_>>().join(" ")
}

fn not_a_multiple(problem: &Problem, lang: Lang) -> String {
    match *problem.hint() {
        Hint::Nearest { below: 0, above } => lang.why_not_a_multiple_above(lang.number(above)),
        Hint::Nearest { below, above } => lang.why_not_a_multiple(lang.number(below), lang.number(above)),
        _ => lang.why_invalid().to_owned(),
    }
}

fn limit_exceeded(problem: &Problem, lang: Lang) -> String {
    match *problem.hint() {
        Hint::Left { points } => lang.why_limit_exceeded(lang.so_many_points(points)),
        _ => lang.why_limit().to_owned(),
    }
}

fn not_eligible(problem: &Problem, lang: Lang) -> String {
    match *problem.hint() {
        Hint::Unmet(unmet) => lang.unmet(unmet).to_owned(),
        _ => lang.why_not_eligible().to_owned(),
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.said().0)
    }
}

impl std::error::Error for Trouble {}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    lang: Lang,
    style: &'static str,
    title: &'a str,
    text: &'a str,
    back: &'a str,
}

impl ResponseError for Trouble {
    fn status_code(&self) -> StatusCode {
        match &self.what {
            What::Opening | What::Enrolment => StatusCode::GONE,
            What::Session | What::Signed => StatusCode::UNAUTHORIZED,
            What::Form | What::Scope | What::Role | What::New => StatusCode::FORBIDDEN,
            What::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            What::Query => StatusCode::BAD_REQUEST,
            What::Method => StatusCode::METHOD_NOT_ALLOWED,
            What::Taken => StatusCode::CONFLICT,
            What::Unfit(_) | What::Typed(_) | What::Oneself => StatusCode::UNPROCESSABLE_ENTITY,
            What::Busy => StatusCode::SERVICE_UNAVAILABLE,
            What::Problem(problem) | What::Told(problem) => problem.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let (title, text) = self.said();
        let page =
            TroublePage { lang: self.lang, style: assets::MEMBER_CSS.address(), title, text: &text, back: self.back };
        let body = page.render().unwrap_or_else(|_| title.to_owned());
        let mut answer = HttpResponse::build(self.status_code());
        answer.insert_header((header::CACHE_CONTROL, "no-store")).content_type("text/html; charset=utf-8");
        let mut answer = answer.body(body);
        self.say_when(&mut answer);
        answer
    }
}
