//! Reads what a client certificate says of its holder.

use crate::domain::holder::Holder;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// A certificate as far as the alliance keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub x5t: String,
    pub holder: Holder,
    /// Hexadecimal, lower case, two digits a byte.
    pub serial: String,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
}

/// `x5t#S256` of RFC 8705 §3.1: base64url, without padding, of the SHA-256 of the DER.
pub fn x5t(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, der))
}

/// The holder a certificate names; `None` unless it has exactly one URI, of this trust domain and of our form.
pub fn holder(der: &[u8], trust_domain: &str) -> Option<Holder> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Holder::from_uri(&only_uri(&certificate)?, trust_domain)
}

/// `None` for a certificate that names no holder of this trust domain.
pub fn facts(der: &[u8], trust_domain: &str) -> Option<Facts> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let instant = |time: ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
    Some(Facts {
        x5t: x5t(der),
        holder: Holder::from_uri(&only_uri(&certificate)?, trust_domain)?,
        serial: hex(certificate.raw_serial()),
        not_before: instant(certificate.validity().not_before)?,
        not_after: instant(certificate.validity().not_after)?,
    })
}

/// The end of a certificate's life.
pub fn not_after(der: &[u8]) -> Option<DateTime<Utc>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0)
}

/// The trust domain of an authority: its certificate's only URI is `spiffe://<trust-domain>`.
pub fn trust_domain(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(only_uri(&certificate)?.strip_prefix("spiffe://")?.to_owned())
}

/// Whether this is the alliance's own certificate, with which it calls its partners.
pub fn is_alliance(der: &[u8], trust_domain: &str) -> bool {
    let read = X509Certificate::from_der(der).ok();
    read.and_then(|(_, certificate)| only_uri(&certificate)) == Some(format!("spiffe://{trust_domain}/alliance"))
}

fn only_uri(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Some(uri.to_owned()),
        _ => None,
    }
}

/// Two lower-case digits a byte, without the zero byte that only keeps a number positive.
pub(super) fn hex(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
