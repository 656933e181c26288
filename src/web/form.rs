//! A form of one of our pages: sent from here, by whom the page was for.

use super::lang::Lang;
use super::trouble::{Trouble, What};
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Form;
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::pin::Pin;

/// Bytes of a form; a quote's token takes about two thousand.
const FORM_MAX: usize = 16 * 1024;

/// Bytes of a form, as it is encoded, at an address that takes larger ones: app data of its resource, beside a
/// `FormConfig` of that limit.
#[derive(Clone, Copy, Debug)]
pub struct FormMax(pub usize);

/// What an extractor of pages answers, later.
pub type Found<T> = Pin<Box<dyn Future<Output = Result<T, Trouble>>>>;

/// Somebody with a session, whose forms carry a token made of it.
pub trait Visitor: FromRequest<Error = Trouble> + 'static {
    /// Where one who sent a form that is none of ours goes on.
    const HOME: &'static str;

    fn is_form_token(&self, token: &str) -> bool;
}

/// A form of one of our pages, sent from this session.
#[derive(Debug)]
pub struct Posted<V, T> {
    pub visitor: V,
    pub form: T,
}

#[derive(Deserialize)]
struct Signed<T> {
    form_token: String,
    #[serde(flatten)]
    form: T,
}

/// A form with nothing in it but its button.
#[derive(Debug, Deserialize)]
pub struct Nothing {}

impl<V: Visitor, T: DeserializeOwned + 'static> FromRequest for Posted<V, T> {
    type Error = Trouble;
    type Future = Found<Posted<V, T>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let lang = Lang::of(request);
        let refused = move || Trouble::new(What::Form, lang).back_to(V::HOME);
        let visitor = V::from_request(request, payload);
        let length = length(request);
        let (is_ours, is_large) = (is_same_site(request) && length.is_some(), length > Some(most(request)));
        let form = Form::<Signed<T>>::from_request(request, payload);
        Box::pin(async move {
            let visitor = visitor.await?;
            if !is_ours {
                return Err(refused());
            }
            if is_large {
                return Err(Trouble::new(What::TooLarge, lang).back_to(V::HOME));
            }
            let Signed { form_token, form } = form.await.map_err(|_| refused())?.into_inner();
            if visitor.is_form_token(&form_token) { Ok(Posted { visitor, form }) } else { Err(refused()) }
        })
    }
}

/// Browsers say where a request comes from (Fetch Metadata); where they do not, the form's token decides alone.
pub fn is_same_site(request: &HttpRequest) -> bool {
    let site = request.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    site.is_none_or(|site| matches!(site, "same-origin" | "none"))
}

/// Browsers say how long a form is: it is limited before it is read.
fn length(request: &HttpRequest) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok())
}

fn most(request: &HttpRequest) -> usize {
    request.app_data::<FormMax>().map_or(FORM_MAX, |most| most.0)
}

/// What a form's key may say: whatever a browser sends, short and plain.
pub fn plain_key(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}
