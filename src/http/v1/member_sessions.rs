//! `/v1/member-sessions`: the one-time address by which a brand's own app opens its member's page.

use super::fields::{Fields, named};
use super::reply;
use crate::http::{Caller, NoBody, Problem, StrictJson};
use crate::service::exchange::Exchange;
use crate::service::member_sessions::{self, Scope, Wanted};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::OnceLock;
use utoipa::{OpenApi, ToSchema};

/// Of an address a browser is sent back to.
const RETURN_URL_MAX: usize = 2_000;
const NOT_A_RETURN: &str = "must be an https:// address of at most 2000 characters, without a user in it";

#[derive(OpenApi)]
#[openapi(paths(create, end))]
pub struct Document;

/// Where browsers reach the pages: scheme, host and port, without a slash at the end.
#[derive(Debug)]
pub struct PagesAt(OnceLock<String>);

impl PagesAt {
    /// The address that was said; `None`: where the plain listener is, once that is known.
    pub fn new(said: Option<String>) -> PagesAt {
        PagesAt(said.map(OnceLock::from).unwrap_or_default())
    }

    /// The plain listener has its address: it counts unless another was said.
    pub fn listening(&self, address: SocketAddr) {
        let _ = self.0.set(format!("http://{address}"));
    }

    pub fn as_str(&self) -> &str {
        self.0.get().map_or("", String::as_str)
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMemberSession, example = json!({ "member_ref": "L-1001", "return_url": "https://lumen.example/points" }))]
pub struct SessionRequest {
    #[schema(min_length = 1, max_length = 128, example = "L-1001")]
    member_ref: String,
    /// Where the page leads back to.
    #[schema(min_length = 1, max_length = 2000, example = "https://lumen.example/points")]
    return_url: Option<String>,
    /// What may be done beside looking: `convert`, `claim`, `consent`, `pass`; all of it unless said.
    #[schema(max_items = 8)]
    scopes: Option<Vec<String>>,
}

/// A page to be opened, once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MemberSession)]
pub struct SessionAnswer {
    /// Opened by the first who asks for it, within a minute. Not to be kept or logged.
    #[schema(example = "https://points.example/member/open/…")]
    url: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: DateTime<Utc>,
}

/// A one-time address of a member's page, for the brand's own app to open.
#[utoipa::path(
    post, path = "/v1/member-sessions", tag = "member page", request_body = SessionRequest,
    responses((status = 201, description = "To be opened within a minute, once", body = SessionAnswer))
)]
pub async fn create(
    exchange: Data<Exchange>,
    pages: Data<PagesAt>,
    caller: Caller,
    body: StrictJson<SessionRequest>,
) -> Result<HttpResponse, Problem> {
    let wanted = read(body.0)?;
    let offered = member_sessions::offer(&exchange, caller.partner()?, wanted).await?;
    let url = format!("{}/member/open/{}", pages.as_str(), offered.secret.as_str());
    reply::json(StatusCode::CREATED, &SessionAnswer { url, expires_at: offered.expires_at })
}

fn read(body: SessionRequest) -> Result<Wanted, Problem> {
    let mut fields = Fields::default();
    let member_ref = fields.text("member_ref", body.member_ref);
    if body.return_url.as_deref().is_some_and(|url| !is_way_back(url)) {
        fields.fault("return_url", NOT_A_RETURN);
    }
    let scopes = match body.scopes {
        None => Scope::ALL.iter().map(|(scope, _)| *scope).collect(),
        Some(words) => {
            let read = words.iter().enumerate().map(|(at, word)| {
                fields.named(&format!("scopes/{at}"), Scope::parse(word), "must be convert, claim, consent or pass")
            });
            read.collect::<Vec<_>>().into_iter().flatten().collect()
        }
    };
    let member_ref = fields.finish(member_ref)?;
    Ok(Wanted { member_ref, return_url: body.return_url, scopes })
}

/// An address that a browser can be sent to and that says whose it is.
fn is_way_back(text: &str) -> bool {
    let url = reqwest::Url::parse(text).ok().filter(|_| text.len() <= RETURN_URL_MAX);
    url.is_some_and(|url| {
        url.scheme() == "https" && url.has_host() && url.username().is_empty() && url.password().is_none()
    })
}

/// Ends every page of a member, as when it signs out of the brand's app.
#[utoipa::path(
    delete, path = "/v1/memberships/{member_ref}/member-sessions", tag = "member page",
    params(("member_ref" = String, Path, min_length = 1, max_length = 128)),
    responses((status = 204, description = "Ended"))
)]
pub async fn end(
    exchange: Data<Exchange>,
    caller: Caller,
    member_ref: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    member_sessions::end_all(&exchange, caller.partner()?, named(member_ref.into_inner())?).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_is_a_plain_https_address() {
        assert!(is_way_back("https://lumen.example/points?tab=1"));
        for bad in [
            "http://lumen.example/",
            "javascript:alert(1)",
            "https://",
            "https://lumen@evil.example/",
            "//evil.example",
            "/points",
            "data:text/html,hi",
        ] {
            assert!(!is_way_back(bad), "{bad}");
        }
    }
}
