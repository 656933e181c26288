//! How a page is answered: HTML that nobody keeps, frames or leaks, with styles and scripts from here alone.

use super::lang::Lang;
use super::trouble::{Trouble, What};
use crate::http::v1::PagesAt;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::UrlencodedError;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::{self, Data, FormConfig, QueryConfig};
use actix_web::{Error, HttpRequest, HttpResponse, Resource, Route};
use askama::Template;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

/// What every page forbids (CSP Level 3, Fetch Metadata, RFC 9111).
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // An address of a page says whose it is to nobody else.
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
];

/// Puts these headers on every answer, and remembers a language that was chosen.
pub async fn headers<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let is_https = request.app_data::<Data<PagesAt>>().is_some_and(|pages| pages.as_str().starts_with("https://"));
    let remember = Lang::to_remember(request.request());
    let mut response = next.call(request).await?;
    for (name, value) in HEADERS {
        // A style or a script has said already how long it is kept.
        if name != header::CACHE_CONTROL || !response.headers().contains_key(&name) {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    if is_https {
        let year = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    if let Some(cookie) = remember {
        // Two short words: nothing that could not be a header.
        let _ = response.response_mut().add_cookie(&cookie);
    }
    Ok(response)
}

/// One resource an address, so that a method it does not take is 405, not 404, and a page as well.
pub fn one(path: &str, route: Route) -> Resource {
    web::resource(path).route(route).default_service(web::to(wrong_method))
}

async fn wrong_method(lang: Lang) -> Result<HttpResponse, Trouble> {
    Err(Trouble::new(What::Method, lang))
}

/// App data of pages: a query that cannot be read is answered with a page, too, from which one goes on there.
pub fn queries(home: &'static str) -> QueryConfig {
    let no = move |_, request: &HttpRequest| Trouble::new(What::Query, Lang::of(request)).back_to(home).into();
    QueryConfig::default().error_handler(no)
}

/// App data of doors, where nobody is there yet: a form that cannot be read is answered with a page, too. Elsewhere `Posted`
/// does.
pub fn forms(home: &'static str) -> FormConfig {
    let no = move |error, request: &HttpRequest| {
        let what = match error {
            UrlencodedError::Overflow { .. } => What::TooLarge,
            _ => What::Form,
        };
        Trouble::new(what, Lang::of(request)).back_to(home).into()
    };
    FormConfig::default().error_handler(no)
}

/// A page from its template.
pub fn html(status: StatusCode, template: &impl Template) -> Result<HttpResponse, Trouble> {
    let text = template.render().map_err(|cause| Trouble::internal(&cause))?;
    Ok(HttpResponse::build(status).content_type("text/html; charset=utf-8").body(text))
}

/// After a form: the browser asks for what has become of it, and going back sends nothing twice (RFC 9110 §15.4.4).
pub fn see_other(address: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, address)).finish()
}

/// A reason as people write it: 1 to 500 characters on one line.
pub fn note(raw: &str) -> Option<String> {
    let text = raw.trim();
    let fits = !text.is_empty() && text.chars().count() <= 500 && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// This page's address in another language.
pub fn in_language(request: &HttpRequest, lang: Lang) -> String {
    let kept = request.query_string().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("lang="));
    let mut query: Vec<&str> = kept.collect();
    let lang = format!("lang={}", lang.short());
    query.push(&lang);
    format!("{}?{}", request.path(), query.join("&"))
}

/// A code as a picture a till scans: drawn into the page, so that it needs no request of its own. Empty for what does not fit.
pub fn qr(code: &str) -> String {
    let Ok(matrix) = QrCode::with_error_correction_level(code, EcLevel::M) else { return String::new() };
    let drawn = matrix.render::<svg::Color<'_>>().min_dimensions(240, 240).quiet_zone(true).build();
    // The page has an XML declaration nowhere.
    drawn.split_once("?>").map_or(drawn.clone(), |(_, svg)| svg.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_without_a_declaration_and_without_styles() {
        let svg = qr("7Q2K-M0XR-4D9V-81BT");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"), "{svg}");
        // The pages' policy lets no style of an element's own in.
        assert!(!svg.contains("style="), "{svg}");
        assert_eq!(qr(&"a".repeat(5_000)), "");
    }
}
