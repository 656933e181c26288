//! How fast pages are asked for: a session has its own pace, everybody else that of their address.

use super::lang::Lang;
use super::trouble::{Trouble, What};
use crate::http::forwarded;
use crate::http::rate_limit::Pages;
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;

/// Round the pages of a kind of session, by the name of its cookie.
pub async fn pace<B: MessageBody + 'static>(
    cookie: &'static str,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let pages = request.app_data::<Data<Pages>>().cloned();
    let (Some(pages), Some(from)) = (pages, forwarded::client(request.request())) else {
        return next.call(request).await;
    };
    let session = request.cookie(cookie).map(|cookie| pages.key(cookie.value()));
    if let Err(early) = pages.check(session, from) {
        return Err(Trouble::new(What::Problem(early), Lang::of(request.request())).into());
    }
    let response = next.call(request).await?;
    // What is no session gets no page: whoever was let in has one.
    if let Some(session) = session.filter(|_| response.status().as_u16() < 400) {
        pages.found(session);
    }
    Ok(response)
}
