//! The certificates with which the alliance calls the endpoints of its partners.
//!
//! One of its own authority, `outbound.crt` and `.key`, unless a partner's own authority has signed one for its endpoint:
//! then `outbound/<partner>.crt` and `.key`. The endpoint's server certificate must chain to `outbound/<partner>.trust.pem`, or
//! else to the alliance's authority. That file has the authorities and their revocation lists in one, so that they change
//! together; `<partner>.ca.crt` and `.ca.crl`, as they were named when they were two, count until it is there. A pair changes in two steps, first the certificate and then, by one rename, the key
//! that waits beside it; who finds the first step alone does the second.

use super::{Authority, CLIENT_DAYS, PkiError, at, params, read_pem, write};
use crate::domain::ids::Slug;
use crate::signing::private_file::{PRIVATE, PUBLIC};
use crate::signing::x509::{self, hex, not_after};
use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType,
};
use ring::digest::{Context, SHA256};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use x509_parser::pem::Pem;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// The alliance's own is made anew from here on before its end.
const RENEW_BEFORE: TimeDelta = TimeDelta::days(30);
/// Certificates in one file: a chain, or the authorities of an endpoint.
const CHAIN_MAX: usize = 10;

/// What a client of one partner's endpoint is made of. Read in one go: the key is the certificate's.
#[derive(Clone, Debug)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// What the endpoint's server certificate must chain to.
    pub ca: PathBuf,
    pub crl: Option<PathBuf>,
    /// Changes when any of them does.
    pub fingerprint: String,
    pub not_after: DateTime<Utc>,
    pub contents: Contents,
}

/// The files' contents, PEM.
#[derive(Clone)]
pub struct Contents {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
    pub ca: Vec<u8>,
    pub crl: Option<Vec<u8>>,
}

impl fmt::Debug for Contents {
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

/// The files for `partner`; makes or renews the alliance's own certificate where its authority is in the folder.
pub fn files(folder: &Path, partner: &Slug, now: DateTime<Utc>) -> Result<Files, PkiError> {
    let own = folder.join("outbound").join(partner.as_str());
    let stem = if own.with_extension("crt").exists() { own.clone() } else { folder.join("outbound") };
    if stem != own {
        renew(folder, now)?;
    }
    settle(folder, &stem)?;
    let (certificate, key) = (stem.with_extension("crt"), stem.with_extension("key"));
    let (ca, mut crl) = believed(folder, &own);
    let read = |file: &Path| std::fs::read(file).map_err(at(file));
    let roots = read(&ca)?;
    // Of one file both are of one reading.
    let lists = match &crl {
        Some(file) if *file == ca => Some(roots.clone()).filter(|pem| !lists(pem).is_empty()),
        Some(file) => Some(read(file)?),
        None => None,
    };
    crl = crl.filter(|_| lists.is_some());
    let contents = Contents { certificate: read(&certificate)?, key: read(&key)?, ca: roots, crl: lists };
    let leaf = first(&contents.certificate).ok_or_else(|| PkiError::Unreadable(certificate.clone()))?;
    if public_key(&leaf) != key_of(&contents.key) {
        return Err(PkiError::Pair(certificate));
    }
    let not_after = not_after(&leaf).ok_or_else(|| PkiError::Unreadable(certificate.clone()))?;
    let fingerprint = fingerprint(&contents);
    Ok(Files { certificate, key, ca, crl, fingerprint, not_after, contents })
}

/// The file of those to whom the endpoint's server certificate must chain, and that of their lists.
fn believed(folder: &Path, own: &Path) -> (PathBuf, Option<PathBuf>) {
    let (both, ca) = (own.with_extension("trust.pem"), own.with_extension("ca.crt"));
    if both.exists() {
        (both.clone(), Some(both))
    } else if ca.exists() {
        (ca, Some(own.with_extension("ca.crl")).filter(|crl| crl.exists()))
    } else {
        (folder.join("ca.crt"), Some(folder.join("ca.crl")))
    }
}

/// Makes the alliance's own pair where there is none, or it ends within 30 days. `false`: it stays as it is, which it does
/// too where the authority's key is kept elsewhere.
pub fn renew(folder: &Path, now: DateTime<Utc>) -> Result<bool, PkiError> {
    settle(folder, &folder.join("outbound"))?;
    let ends = read_pem(&folder.join("outbound.crt"), "CERTIFICATE").ok().and_then(|der| not_after(&der));
    if ends.is_some_and(|ends| ends - now > RENEW_BEFORE) {
        return Ok(false);
    }
    match Authority::open(folder) {
        Ok(authority) => authority.issue_outbound(now).map(|()| true),
        Err(PkiError::Missing(_)) if ends.is_some() => Ok(false),
        Err(cause) => Err(cause),
    }
}

impl Authority {
    /// A new pair of the alliance's own, `spiffe://<trust domain>/alliance`.
    pub fn issue_outbound(&self, now: DateTime<Utc>) -> Result<(), PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params("alliance", now, CLIENT_DAYS)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(uri(&self.trust_domain).try_into()?)];
        let certificate = {
            let locked = self.lock()?;
            let certificate = params.signed_by(&key, &locked.issuer)?;
            self.renew_list(&locked, now)?;
            certificate
        };
        let stem = self.folder.join("outbound");
        let _turn = turn(&self.folder)?;
        write(&stem.with_extension("next.key"), key.serialize_pem().as_bytes(), PRIVATE)?;
        write(&stem.with_extension("crt"), certificate.pem().as_bytes(), PUBLIC)?;
        promote(&stem)
    }
}

/// A request for the partner's own authority to sign. Its key waits here until the answer is installed; asked for again
/// meanwhile it is the same key.
pub fn request(folder: &Path, partner: &Slug) -> Result<String, PkiError> {
    let trust_domain = x509::trust_domain(&read_pem(&folder.join("ca.crt"), "CERTIFICATE")?)
        .ok_or_else(|| PkiError::Unreadable(folder.join("ca.crt")))?;
    let _turn = turn(folder)?;
    let file = folder.join("outbound").join(partner.as_str()).with_extension("next.key");
    let key = match std::fs::read_to_string(&file) {
        Ok(pem) => KeyPair::from_pem(&pem).map_err(|_| PkiError::Unreadable(file))?,
        Err(_) => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            write(&file, key.serialize_pem().as_bytes(), PRIVATE)?;
            key
        }
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Hanse of {trust_domain}"));
    params.subject_alt_names = vec![SanType::URI(uri(&trust_domain).try_into()?)];
    Ok(params.serialize_request(&key)?.pem()?)
}

/// Puts the partner's answer in force: its chain, our certificate first. It must be of the key that waits, or of the one in
/// force, for clients, and in its life; otherwise all stays as it was.
pub fn install(folder: &Path, partner: &Slug, chain: &[u8], now: DateTime<Utc>) -> Result<DateTime<Utc>, PkiError> {
    let stem = folder.join("outbound").join(partner.as_str());
    settle(folder, &stem)?;
    let _turn = turn(folder)?;
    let (file, next) = (stem.with_extension("crt"), stem.with_extension("next.key"));
    let ders = certificates(chain).ok_or_else(|| PkiError::Unreadable(file.clone()))?;
    let (_, leaf) = X509Certificate::from_der(&ders[0]).map_err(|_| PkiError::Unreadable(file.clone()))?;
    let ends = not_after(&ders[0]).ok_or_else(|| PkiError::Unreadable(file.clone()))?;
    let uses = leaf.extended_key_usage().map_err(|_| PkiError::Unreadable(file.clone()))?;
    if uses.is_some_and(|uses| !uses.value.client_auth && !uses.value.any) || ends <= now {
        return Err(PkiError::Unusable);
    }
    let fits = |key: &Path| std::fs::read(key).is_ok_and(|pem| key_of(&pem) == public_key(&ders[0]));
    if fits(&next) {
        write(&file, chain, PUBLIC)?;
        promote(&stem)?;
    } else if fits(&stem.with_extension("key")) {
        write(&file, chain, PUBLIC)?;
    } else {
        return Err(PkiError::Pair(file));
    }
    Ok(ends)
}

/// Stores the authorities to one of which the endpoint's server certificate must chain, and their lists if given; returns
/// how many authorities. One file, one rename: never the authorities of today with the lists of yesterday, or with none.
pub fn trust(folder: &Path, partner: &Slug, ca: &[u8], crl: Option<&[u8]>) -> Result<usize, PkiError> {
    let stem = folder.join("outbound").join(partner.as_str());
    let file = stem.with_extension("trust.pem");
    let ders = certificates(ca).ok_or_else(|| PkiError::Unreadable(file.clone()))?;
    let is_ca = |der: &Vec<u8>| X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.is_ca());
    if !ders.iter().all(is_ca) {
        return Err(PkiError::NoAuthority);
    }
    let mut both = ca.to_vec();
    if let Some(crl) = crl {
        if lists(crl).is_empty() {
            return Err(PkiError::Unreadable(file));
        }
        both.push(b'\n');
        both.extend_from_slice(crl);
    }
    let _turn = turn(folder)?;
    write(&file, &both, PUBLIC)?;
    // From here on these count no more.
    for old in ["ca.crt", "ca.crl"].map(|old| stem.with_extension(old)) {
        if old.exists() {
            std::fs::remove_file(&old).map_err(at(&old))?;
        }
    }
    Ok(ders.len())
}

/// When each thing of this folder by which the alliance calls ends, by its name: `outbound`, `outbound/<partner>`, and
/// `outbound/<partner>/revocation-list`, the first to end of the lists that its endpoint is judged by.
pub fn ends(folder: &Path) -> Vec<(String, DateTime<Utc>)> {
    let of = |file: &Path| read_pem(file, "CERTIFICATE").ok().and_then(|der| not_after(&der));
    let mut found: Vec<_> =
        of(&folder.join("outbound.crt")).map(|ends| ("outbound".to_owned(), ends)).into_iter().collect();
    for entry in std::fs::read_dir(folder.join("outbound")).into_iter().flatten().flatten() {
        let (name, file) = (entry.file_name(), entry.path());
        let slug = |end: &str| name.to_str()?.strip_suffix(end)?.parse::<Slug>().ok();
        if let Some((slug, ends)) = slug(".crt").zip(of(&file)) {
            found.push((format!("outbound/{slug}"), ends));
        }
        let list = || std::fs::read(&file).ok().and_then(|pem| lists(&pem).into_iter().flatten().min());
        let both = |slug: &Slug| folder.join("outbound").join(slug.as_str()).with_extension("trust.pem").exists();
        if let Some(slug) = slug(".trust.pem").or_else(|| slug(".ca.crl").filter(|slug| !both(slug)))
            && let Some(ends) = list()
        {
            found.push((format!("outbound/{slug}/revocation-list"), ends));
        }
    }
    found.sort();
    found
}

/// The revocation lists of a PEM file, each by when it ends; `None` is never, or cannot be read.
fn lists(pem: &[u8]) -> Vec<Option<DateTime<Utc>>> {
    let blocks = Pem::iter_from_buffer(pem).filter_map(Result::ok).filter(|pem| pem.label == "X509 CRL");
    let ends = |der: &[u8]| {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        DateTime::from_timestamp(list.next_update()?.timestamp(), 0)
    };
    blocks.map(|pem| ends(&pem.contents)).collect()
}

fn uri(trust_domain: &str) -> String {
    format!("spiffe://{trust_domain}/alliance")
}

/// The turn of whoever changes a pair; the folder is made where it is missing.
fn turn(folder: &Path) -> Result<File, PkiError> {
    let place = folder.join("outbound");
    std::fs::create_dir_all(&place).map_err(at(&place))?;
    let file = File::open(&place).map_err(at(&place))?;
    file.lock().map_err(at(&place))?;
    Ok(file)
}

/// Does the second step of a change whose first was done: the certificate in force is of the key that waits.
fn settle(folder: &Path, stem: &Path) -> Result<(), PkiError> {
    if !stem.with_extension("next.key").exists() {
        return Ok(());
    }
    let _turn = turn(folder)?;
    let waiting = std::fs::read(stem.with_extension("next.key")).ok().and_then(|pem| key_of(&pem));
    let shown = std::fs::read(stem.with_extension("crt")).ok().and_then(|pem| first(&pem));
    match (waiting, shown) {
        (Some(waiting), Some(shown)) if public_key(&shown).as_ref() == Some(&waiting) => promote(stem),
        _ => Ok(()),
    }
}

fn promote(stem: &Path) -> Result<(), PkiError> {
    let next = stem.with_extension("next.key");
    std::fs::rename(&next, stem.with_extension("key")).map_err(at(&next))
}

/// The certificates of a PEM file, at least one; `None` when one cannot be read.
fn certificates(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    let all: Option<Vec<_>> = Pem::iter_from_buffer(pem).take(CHAIN_MAX + 1).map(Result::ok).collect();
    let ders: Vec<_> = all?.into_iter().filter(|pem| pem.label == "CERTIFICATE").map(|pem| pem.contents).collect();
    let sound = ders.iter().all(|der| X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty()));
    (sound && (1..=CHAIN_MAX).contains(&ders.len())).then_some(ders)
}

fn first(pem: &[u8]) -> Option<Vec<u8>> {
    certificates(pem).and_then(|ders| ders.into_iter().next())
}

/// As SubjectPublicKeyInfo.
fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate.public_key().raw.to_vec())
}

fn key_of(pem: &[u8]) -> Option<Vec<u8>> {
    let pem = std::str::from_utf8(pem).ok()?;
    KeyPair::from_pem(pem).ok().map(|key| key.subject_public_key_info())
}

fn fingerprint(contents: &Contents) -> String {
    let mut context = Context::new(&SHA256);
    let crl = contents.crl.as_deref().unwrap_or_default();
    for part in [&contents.certificate[..], &contents.key, &contents.ca, crl] {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    hex(context.finish().as_ref())
}

#[cfg(test)]
mod tests;
