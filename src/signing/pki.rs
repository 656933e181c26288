//! The alliance's certificate authority: a folder of files, worked with `hanse pki`.
//!
//! ECDSA P-256 throughout. The authority's own certificate carries the trust domain; a client certificate carries
//! exactly one URI, its holder's. A folder is worked by one process at a time, behind a lock on `ca.key`. The
//! authority's key is needed to issue and to put a revocation on the list, never to serve. `list` is that list,
//! `outbound` the certificates with which the alliance calls partners.

mod list;
pub mod outbound;

pub use list::List;

use super::private_file::{PRIVATE, PUBLIC, replace};
use super::x509::{self, Facts};
use crate::domain::holder::Holder;
use chrono::{DateTime, Days, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SerialNumber,
};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Of a client's certificate, and of the revocation list: whoever renews the one makes the other anew.
const CLIENT_DAYS: u64 = 90;
const SERVER_DAYS: u64 = 397;
const AUTHORITY_DAYS: u64 = 3650;
/// Certificates start a little early, for clocks that are a little late.
const EARLY: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("{file} cannot be read or written")]
    Io { file: PathBuf, source: io::Error },
    #[error("there is an authority in {0} already")]
    Exists(PathBuf),
    #[error("there is no authority in {0}: make one with `hanse pki init`")]
    Missing(PathBuf),
    #[error("{0} is not the file it should be")]
    Unreadable(PathBuf),
    #[error("{0} belongs to another holder")]
    NameTaken(PathBuf),
    #[error("{0:?} is not a trust domain: lower-case letters, digits, dots and hyphens, at most 255")]
    TrustDomain(String),
    #[error("the request is not a PKCS#10 request signed with its own P-256 key")]
    Request,
    #[error("the certificate for {0} is of another key")]
    Pair(PathBuf),
    #[error("the certificate is not for a client, or its life is over")]
    Unusable,
    #[error("among these certificates is one that is no authority's")]
    NoAuthority,
    #[error("a certificate could not be made")]
    Making(#[from] rcgen::Error),
    #[error("the system has no randomness")]
    Randomness,
}

/// An authority in its folder.
#[derive(Clone, Debug)]
pub struct Authority {
    folder: PathBuf,
    trust_domain: String,
}

/// A certificate just made.
#[derive(Clone, Debug)]
pub struct Issued {
    pub pem: String,
    pub facts: Facts,
    /// Where it was written, with its key beside it; `None` for one made from a request.
    pub file: Option<PathBuf>,
}

/// Somebody's request for a certificate, signed with the key it is for.
pub struct Request {
    inner: CertificateSigningRequestParams,
}

impl Request {
    /// Reads a PKCS#10 request in PEM; `Err(Request)` unless its key is of P-256 and has signed it.
    pub fn parse(csr: &str) -> Result<Request, PkiError> {
        let inner = CertificateSigningRequestParams::from_pem(csr).map_err(|_| PkiError::Request)?;
        if inner.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(PkiError::Request);
        }
        Ok(Request { inner })
    }

    /// SHA-256 of the public key, as SubjectPublicKeyInfo: what is asked for again with it is the same request.
    pub fn key_sha256(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.inner.public_key.subject_public_key_info()).as_ref());
        hash
    }
}

impl Authority {
    /// Makes a new authority with an empty revocation list and a server certificate.
    pub fn init(folder: &Path, trust_domain: &str, now: DateTime<Utc>) -> Result<Authority, PkiError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        if !(1..=255).contains(&trust_domain.len()) || !trust_domain.bytes().all(plain) {
            return Err(PkiError::TrustDomain(trust_domain.to_owned()));
        }
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        let authority = Authority { folder: folder.to_owned(), trust_domain: trust_domain.to_owned() };
        let key_file = authority.path("ca.key");
        if key_file.exists() {
            return Err(PkiError::Exists(folder.to_owned()));
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(&format!("Hanse authority of {trust_domain}"), now, AUTHORITY_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{trust_domain}").try_into()?)];
        params.use_authority_key_identifier_extension = false;
        let certificate = params.self_signed(&key)?;
        // The certificate first: where there is a key there is an authority.
        write(&authority.path("ca.crt"), certificate.pem().as_bytes(), PUBLIC)?;
        write(&key_file, key.serialize_pem().as_bytes(), PRIVATE)?;
        let locked = authority.lock()?;
        authority.write_list(&locked, Vec::new(), 1, now)?;
        authority.issue_server_locked(&locked, &authority.path("server"), now)?;
        Ok(authority)
    }

    pub fn open(folder: &Path) -> Result<Authority, PkiError> {
        let file = folder.join("ca.crt");
        if !folder.join("ca.key").exists() {
            return Err(PkiError::Missing(folder.to_owned()));
        }
        let der = read_pem(&file, "CERTIFICATE")?;
        let trust_domain = x509::trust_domain(&der).ok_or(PkiError::Unreadable(file))?;
        Ok(Authority { folder: folder.to_owned(), trust_domain })
    }

    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// Renews `server.crt` and `server.key`, for `localhost` and the loopback addresses.
    pub fn issue_server(&self, now: DateTime<Utc>) -> Result<(), PkiError> {
        let locked = self.lock()?;
        self.issue_server_locked(&locked, &self.path("server"), now)
    }

    /// The same for somebody else's server on this machine: `<stem>.crt` and `<stem>.key`.
    pub fn issue_local(&self, stem: &Path, now: DateTime<Utc>) -> Result<(), PkiError> {
        let locked = self.lock()?;
        self.issue_server_locked(&locked, stem, now)
    }

    fn issue_server_locked(&self, locked: &Locked, stem: &Path, now: DateTime<Utc>) -> Result<(), PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params("localhost", now, SERVER_DAYS)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        let certificate = params.signed_by(&key, &locked.issuer)?;
        write(&stem.with_extension("key"), key.serialize_pem().as_bytes(), PRIVATE)?;
        write(&stem.with_extension("crt"), certificate.pem().as_bytes(), PUBLIC)
    }

    /// A new key and certificate in `<name>.key` and `<name>.crt`; the holder's earlier certificate stays good.
    pub fn issue(&self, holder: &Holder, now: DateTime<Utc>) -> Result<Issued, PkiError> {
        let locked = self.lock()?;
        let file = self.path(&format!("{}.crt", holder.name()));
        self.check_name(holder, &file)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = self.client_params(holder, now)?.signed_by(&key, &locked.issuer)?;
        self.renew_list(&locked, now)?;
        write(&file.with_extension("key"), key.serialize_pem().as_bytes(), PRIVATE)?;
        write(&file, certificate.pem().as_bytes(), PUBLIC)?;
        self.issued(certificate.pem(), certificate.der(), Some(file))
    }

    /// A certificate for a key its holder keeps. Of the request only the key counts: names and uses are ours to give.
    pub fn issue_for_request(&self, holder: &Holder, csr: &str, now: DateTime<Utc>) -> Result<Issued, PkiError> {
        self.issue_to(holder, &Request::parse(csr)?, now)
    }

    /// The same for a request that was read.
    pub fn issue_to(&self, holder: &Holder, request: &Request, now: DateTime<Utc>) -> Result<Issued, PkiError> {
        let locked = self.lock()?;
        let key = &request.inner.public_key;
        let certificate = self.client_params(holder, now)?.signed_by(key, &locked.issuer)?;
        self.renew_list(&locked, now)?;
        self.issued(certificate.pem(), certificate.der(), None)
    }

    /// The authority's own certificate, PEM.
    pub fn certificate(&self) -> Result<String, PkiError> {
        let file = self.path("ca.crt");
        std::fs::read_to_string(&file).map_err(at(&file))
    }

    /// What a certificate in this folder says.
    pub fn facts(&self, holder: &Holder) -> Result<Facts, PkiError> {
        let file = self.path(&format!("{}.crt", holder.name()));
        let facts = x509::facts(&read_pem(&file, "CERTIFICATE")?, &self.trust_domain);
        facts.filter(|facts| facts.holder == *holder).ok_or(PkiError::Unreadable(file))
    }

    fn client_params(&self, holder: &Holder, now: DateTime<Utc>) -> Result<CertificateParams, PkiError> {
        let mut params = params(holder.name(), now, CLIENT_DAYS)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(holder.uri(&self.trust_domain).try_into()?)];
        Ok(params)
    }

    fn issued(&self, pem: String, der: &[u8], file: Option<PathBuf>) -> Result<Issued, PkiError> {
        let facts = x509::facts(der, &self.trust_domain).ok_or(PkiError::Unreadable(self.folder.clone()))?;
        Ok(Issued { pem, facts, file })
    }

    /// A file is only written over for the holder it is of: `ca` and `server` are nobody's.
    fn check_name(&self, holder: &Holder, file: &Path) -> Result<(), PkiError> {
        let theirs = !file.exists() || self.facts(holder).is_ok();
        if theirs { Ok(()) } else { Err(PkiError::NameTaken(file.to_owned())) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Waits for this folder's turn and reads the authority's key.
    fn lock(&self) -> Result<Locked, PkiError> {
        let file = self.path("ca.key");
        let turn = File::open(&file).map_err(at(&file))?;
        turn.lock().map_err(at(&file))?;
        let key = std::fs::read_to_string(&file).map_err(at(&file))?;
        let key = KeyPair::from_pem(&key).map_err(|_| PkiError::Unreadable(file))?;
        let der = read_pem(&self.path("ca.crt"), "CERTIFICATE")?;
        let issuer = Issuer::from_ca_cert_der(&der.into(), key)?;
        Ok(Locked { issuer, _turn: turn })
    }
}

/// The authority's key, for as long as nobody else may work with it.
struct Locked {
    issuer: Issuer<'static, KeyPair>,
    _turn: File,
}

/// When each thing of ours in an authority's folder ends, by its name; what cannot be read is left out.
pub fn ends(folder: &Path) -> Vec<(String, DateTime<Utc>)> {
    let of = |name: &str, file: &str| {
        let der = read_pem(&folder.join(file), "CERTIFICATE").ok()?;
        Some((name.to_owned(), x509::not_after(&der)?))
    };
    let mut found: Vec<_> = of("authority", "ca.crt").into_iter().chain(of("server", "server.crt")).collect();
    found.extend(List::read(folder).ok().map(|list| ("revocation-list".to_owned(), list.next_update)));
    found.extend(outbound::ends(folder));
    found
}

/// What every certificate of ours has.
fn params(name: &str, now: DateTime<Utc>, days: u64) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.not_before = SystemTime::from(now - EARLY).into();
    params.not_after = SystemTime::from(now.checked_add_days(Days::new(days)).unwrap_or(now)).into();
    params.serial_number = Some(SerialNumber::from_slice(&serial()?));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 16 random bytes, positive and of full length, so that one number has one spelling.
fn serial() -> Result<[u8; 16], PkiError> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| PkiError::Randomness)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn read_pem(file: &Path, label: &str) -> Result<Vec<u8>, PkiError> {
    let text = std::fs::read(file).map_err(at(file))?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&text).map_err(|_| PkiError::Unreadable(file.to_owned()))?;
    if pem.label == label { Ok(pem.contents) } else { Err(PkiError::Unreadable(file.to_owned())) }
}

fn write(file: &Path, contents: &[u8], mode: u32) -> Result<(), PkiError> {
    replace(file, contents, mode).map_err(at(file))
}

fn at(file: &Path) -> impl FnOnce(io::Error) -> PkiError {
    let file = file.to_owned();
    move |source| PkiError::Io { file, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

    pub struct Folder(pub PathBuf);

    impl Folder {
        pub fn new(name: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("hanse-pki-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder");
            Folder(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    pub fn lumen() -> Holder {
        Holder::of("partner", "lumen").expect("a slug")
    }

    #[test]
    fn issuing_keeps_the_revocation_list_alive() {
        let folder = Folder::new("alive");
        let now = crate::clock::now();
        let authority = Authority::init(&folder.0, "hanse.test", now).expect("an authority");
        let later = now + Days::new(80);
        authority.issue(&lumen(), later).expect("a certificate");
        let der = read_pem(&authority.path("ca.crl"), "X509 CRL").expect("a list");
        let (_, list) = CertificateRevocationList::from_der(&der).expect("a list");
        let until = list.next_update().expect("an end").timestamp();
        assert!(until > (later + Days::new(80)).timestamp(), "the list lives as long as what was issued");
    }

    #[test]
    fn a_client_certificate_names_its_holder_and_may_do_nothing_else() {
        let folder = Folder::new("client");
        let now = crate::clock::now();
        let authority = Authority::init(&folder.0, "hanse.test", now).expect("an authority");
        assert!(matches!(Authority::init(&folder.0, "hanse.test", now), Err(PkiError::Exists(_))));
        assert_eq!(Authority::open(&folder.0).expect("open").trust_domain(), "hanse.test");
        let issued = authority.issue(&lumen(), now).expect("issued");
        assert_eq!(authority.facts(&lumen()).expect("facts"), issued.facts);
        assert_eq!(issued.facts.holder, lumen());
        assert_eq!((issued.facts.not_after - now).num_days(), 89);
        let der = read_pem(&folder.0.join("lumen.crt"), "CERTIFICATE").expect("a certificate");
        let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
        assert!(!certificate.is_ca());
        let usage = certificate.key_usage().expect("one").expect("there").value;
        assert!(usage.digital_signature() && usage.flags.count_ones() == 1);
        let extended = certificate.extended_key_usage().expect("one").expect("there").value;
        assert!(extended.client_auth && !extended.server_auth && !extended.any);
        for key in ["ca.key", "server.key", "lumen.key"] {
            let mode = std::fs::metadata(folder.0.join(key)).expect(key).permissions().mode();
            assert_eq!(mode & 0o777, PRIVATE, "{key}");
        }
        for taken in ["ca", "server"] {
            let holder = Holder::of("partner", taken).expect("a slug");
            assert!(matches!(authority.issue(&holder, now), Err(PkiError::NameTaken(_))), "{taken}");
        }
        let namesake = Holder::of("operator", "lumen").expect("a name");
        assert!(matches!(authority.issue(&namesake, now), Err(PkiError::NameTaken(_))));
    }

    #[test]
    fn a_request_gives_its_key_and_none_of_its_names() {
        let folder = Folder::new("request");
        let now = crate::clock::now();
        let authority = Authority::init(&folder.0, "hanse.test", now).expect("an authority");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut asked = CertificateParams::default();
        let greedy = "spiffe://hanse.test/operator/root".try_into().expect("ASCII");
        asked.subject_alt_names = vec![SanType::URI(greedy)];
        asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let csr = asked.serialize_request(&key).expect("a request").pem().expect("PEM");
        let issued = authority.issue_for_request(&lumen(), &csr, now).expect("issued");
        assert_eq!(issued.facts.holder, lumen());
        let (_, pem) = x509_parser::pem::parse_x509_pem(issued.pem.as_bytes()).expect("PEM");
        let (_, certificate) = X509Certificate::from_der(&pem.contents).expect("a certificate");
        assert!(!certificate.is_ca());
        assert_eq!(certificate.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
        let middle = csr.len() / 2;
        let forged =
            format!("{}{}{}", &csr[..middle], if &csr[middle..=middle] == "A" { "B" } else { "A" }, &csr[middle + 1..]);
        for bad in
            [forged.as_str(), "", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
        {
            assert!(matches!(authority.issue_for_request(&lumen(), bad, now), Err(PkiError::Request)), "{bad}");
        }
    }
}
