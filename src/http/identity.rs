//! Who calls: the certificate of the connection, its standing at this request, the caller's rate.
//!
//! `gate` wraps everything on the partner listener, so no route, known or not, is reached without a caller.

use super::problem::{Code, Problem};
use super::rate_limit::RateLimit;
use super::request_id::RequestId;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::service::identity::{Presented, Register, Standing};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Extensions, Payload, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest};
use std::any::Any;
use std::future::{Ready, ready};
use std::sync::Arc;

/// Whose request this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub kind: Holder,
    /// `x5t#S256` of the certificate used.
    pub x5t: Arc<str>,
}

impl Caller {
    /// The calling partner; 403 for an operator, who has no members and no points.
    pub fn partner(&self) -> Result<&Slug, Problem> {
        match &self.kind {
            Holder::Partner(slug) => Ok(slug),
            Holder::Operator(_) => Err(Problem::new(Code::Forbidden).detail("Only a partner may call this.")),
        }
    }

    /// The calling operator's name; 403 for a partner.
    pub fn operator(&self) -> Result<&str, Problem> {
        match &self.kind {
            Holder::Operator(name) => Ok(name),
            Holder::Partner(_) => Err(Problem::new(Code::Forbidden).detail("Only an operator may call this.")),
        }
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Put there by `gate`; elsewhere there is no certificate to know anyone by.
        ready(request.extensions().get::<Caller>().cloned().ok_or_else(|| Problem::new(Code::CertificateUnknown)))
    }
}

/// What `gate` decides with.
pub(super) struct Gate {
    pub register: Register,
    pub rate: RateLimit,
}

/// Reads the peer's certificate when a connection is made.
pub(super) fn on_connect(trust_domain: String) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
    move |io, extensions| {
        let certificates =
            io.downcast_ref::<TlsStream<TcpStream>>().and_then(|tls| tls.get_ref().1.peer_certificates());
        if let Some(leaf) = certificates.and_then(|chain| chain.first()) {
            extensions.insert(Presented::read(leaf, &trust_domain));
        }
    }
}

/// Lets a request through as its caller, or answers it.
pub(super) async fn gate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match admit(&request).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await.map(ServiceResponse::map_into_left_body)
        }
        Err(problem) => {
            let id = RequestId::of(&request);
            Ok(request.into_response(problem.response(id.0)).map_into_right_body())
        }
    }
}

async fn admit(request: &ServiceRequest) -> Result<Caller, Problem> {
    // Whoever wires a listener without these two answers 500: nobody gets in by mistake.
    let gate = request.app_data::<Data<Gate>>().ok_or_else(|| Problem::new(Code::Internal))?;
    let presented = request.conn_data::<Presented>().ok_or_else(|| Problem::new(Code::CertificateUnknown))?;
    let standing = gate.register.standing(&presented.x5t).await;
    let standing = standing.map_err(|_| Problem::new(Code::Unavailable))?;
    let holder = match standing {
        Standing::Active(holder) => holder,
        Standing::Revoked => return Err(Problem::new(Code::CertificateRevoked)),
        Standing::Expired => {
            return Err(Problem::new(Code::CertificateUnknown).detail("The certificate has expired."));
        }
        // A name that is no caller's says more than that the certificate is not registered.
        Standing::Unknown if presented.holder.is_none() => return Err(misnamed()),
        Standing::Unknown => return Err(Problem::new(Code::CertificateUnknown)),
    };
    if presented.holder.as_ref() != Some(&holder) {
        return Err(misnamed());
    }
    gate.rate.check(&holder)?;
    Ok(Caller { kind: holder, x5t: Arc::clone(&presented.x5t) })
}

fn misnamed() -> Problem {
    Problem::new(Code::Forbidden)
        .detail("The certificate must name exactly one partner or operator of this alliance, in its only URI.")
}
