//! Styles and scripts: inside the binary, named by their content, so that a browser may keep them for ever.

use super::page;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use std::sync::LazyLock;

/// One file and the address it has.
pub struct Asset {
    kind: &'static str,
    text: &'static str,
    address: LazyLock<String>,
}

impl Asset {
    /// Its address, another one whenever its content is.
    pub fn address(&self) -> &str {
        &self.address
    }
}

macro_rules! assets {
    ($($id:ident = $file:literal, $kind:literal;)*) => {
        $(pub static $id: Asset = Asset {
            kind: $kind,
            text: include_str!(concat!("assets/", $file)),
            address: LazyLock::new(|| address($file, include_str!(concat!("assets/", $file)))),
        };)*
        static ALL: &[&Asset] = &[$(&$id),*];
    };
}

assets! {
    MEMBER_CSS = "member.css", "text/css; charset=utf-8";
    STAFF_CSS = "staff.css", "text/css; charset=utf-8";
    STAFF_JS = "staff.js", "text/javascript; charset=utf-8";
    MEMBER_JS = "member.js", "text/javascript; charset=utf-8";
    SIGN_JS = "sign.js", "text/javascript; charset=utf-8";
}

fn address(name: &str, text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let short: String = digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("/assets/{short}/{name}")
}

pub(super) fn configure(config: &mut ServiceConfig) {
    for asset in ALL {
        let resource = web::resource(asset.address().to_owned()).wrap(from_fn(page::headers));
        config.service(resource.route(web::get().to(move || serve(asset))));
    }
}

async fn serve(asset: &'static Asset) -> impl Responder {
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, kept)).content_type(asset.kind).body(asset.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_follows_the_content() {
        assert_ne!(address("a.css", "a{}"), address("a.css", "b{}"));
        for asset in ALL {
            assert!(asset.address().starts_with("/assets/"), "{}", asset.address());
        }
    }
}
