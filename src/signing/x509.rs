//! Reads what a client certificate says of its holder.

use crate::domain::holder::Holder;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// `x5t#S256` of RFC 8705 §3.1: base64url, without padding, of the SHA-256 of the DER.
pub fn x5t(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, der))
}

/// The holder a certificate names; `None` unless it has exactly one URI, of this trust domain and of our form.
pub fn holder(der: &[u8], trust_domain: &str) -> Option<Holder> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Holder::from_uri(uri, trust_domain),
        _ => None,
    }
}
