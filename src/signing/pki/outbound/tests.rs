//! The alliance's own pair, pairs of partners' own authorities, and what becomes of a change that was cut off.

use super::super::tests::Folder;
use super::*;
use rcgen::{BasicConstraints, CertificateSigningRequestParams, IsCa, Issuer, KeyUsagePurpose};
use std::os::unix::fs::PermissionsExt;

fn sprout() -> Slug {
    "sprout".parse().expect("a slug")
}

/// An authority of the partner's own.
struct Theirs {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Theirs {
    fn new() -> Theirs {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).expect("signed").pem();
        Theirs { issuer: Issuer::from_ca_cert_pem(&pem, key).expect("an authority"), pem }
    }

    /// What they answer to a request, used for `use_of`.
    fn sign(&self, csr: &str, use_of: ExtendedKeyUsagePurpose) -> String {
        let request = CertificateSigningRequestParams::from_pem(csr).expect("a request");
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![use_of];
        params.signed_by(&request.public_key, &self.issuer).expect("signed").pem()
    }
}

#[test]
fn the_alliances_own_pair_is_made_on_demand_kept_and_renewed_before_its_end() {
    let folder = Folder::new("outbound");
    let now = crate::clock::now();
    Authority::init(&folder.0, "hanse.test", now).expect("an authority");
    let made = files(&folder.0, &sprout(), now).expect("made");
    assert_eq!((&made.certificate, &made.ca), (&folder.0.join("outbound.crt"), &folder.0.join("ca.crt")));
    assert_eq!(std::fs::metadata(&made.key).expect("there").permissions().mode() & 0o777, PRIVATE);
    let der = read_pem(&made.certificate, "CERTIFICATE").expect("a certificate");
    let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
    let names = certificate.subject_alternative_name().expect("readable").expect("there").value;
    assert!(format!("{names:?}").contains("spiffe://hanse.test/alliance"), "{names:?}");
    // Nobody who may call us: its name is no holder's.
    assert_eq!(x509::holder(&der, "hanse.test"), None);

    assert_eq!(files(&folder.0, &sprout(), now).expect("kept").fingerprint, made.fingerprint);
    let later = made.not_after - TimeDelta::days(29);
    assert_ne!(files(&folder.0, &sprout(), later).expect("renewed").fingerprint, made.fingerprint);
    // Without the authority's key the pair is used to its end.
    let key = folder.0.join("ca.key");
    std::fs::rename(&key, folder.0.join("elsewhere")).expect("moved");
    assert!(!renew(&folder.0, later + TimeDelta::days(80)).expect("kept"));
    std::fs::remove_file(folder.0.join("outbound.crt")).expect("removed");
    assert!(matches!(files(&folder.0, &sprout(), now), Err(PkiError::Missing(_))));
}

#[test]
fn a_partners_own_authority_signs_and_only_what_fits_is_put_in_force() {
    let folder = Folder::new("outbound-theirs");
    let now = crate::clock::now();
    Authority::init(&folder.0, "hanse.test", now).expect("an authority");
    let (theirs, stem) = (Theirs::new(), folder.0.join("outbound/sprout"));
    let csr = request(&folder.0, &sprout()).expect("a request");
    let waiting = std::fs::read(stem.with_extension("next.key")).expect("a key");
    let mode = std::fs::metadata(stem.with_extension("next.key")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, PRIVATE);
    request(&folder.0, &sprout()).expect("again");
    assert_eq!(std::fs::read(stem.with_extension("next.key")).expect("a key"), waiting);

    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let server = theirs.sign(&csr, ExtendedKeyUsagePurpose::ServerAuth);
    assert!(matches!(install(&folder.0, &sprout(), server.as_bytes(), now), Err(PkiError::Unusable)));
    assert!(matches!(install(&folder.0, &sprout(), b"garbage", now), Err(PkiError::Unreadable(_))));
    install(&folder.0, &sprout(), theirs.sign(&csr, client.clone()).as_bytes(), now).expect("installed");
    let used = files(&folder.0, &sprout(), now).expect("files");
    assert_eq!((&used.certificate, &used.contents.key), (&stem.with_extension("crt"), &waiting));

    // A certificate of another key: the old pair stays in force.
    let nest = "nest".parse().expect("a slug");
    let other = theirs.sign(&request(&folder.0, &nest).expect("a request"), client.clone());
    assert!(matches!(install(&folder.0, &sprout(), other.as_bytes(), now), Err(PkiError::Pair(_))));
    assert_eq!(files(&folder.0, &sprout(), now).expect("files").fingerprint, used.fingerprint);
    // The same key signed for anew, and then a new key.
    install(&folder.0, &sprout(), theirs.sign(&csr, client.clone()).as_bytes(), now).expect("renewed");
    let csr = request(&folder.0, &sprout()).expect("a request");
    assert_eq!(files(&folder.0, &sprout(), now).expect("files").contents.key, waiting);
    install(&folder.0, &sprout(), theirs.sign(&csr, client).as_bytes(), now).expect("installed");
    assert_ne!(files(&folder.0, &sprout(), now).expect("files").contents.key, waiting);
}

#[test]
fn a_change_that_was_cut_off_between_its_steps_is_finished() {
    let folder = Folder::new("outbound-cut");
    let now = crate::clock::now();
    Authority::init(&folder.0, "hanse.test", now).expect("an authority");
    let (theirs, stem) = (Theirs::new(), folder.0.join("outbound/sprout"));
    for _ in 0..2 {
        let csr = request(&folder.0, &sprout()).expect("a request");
        let chain = theirs.sign(&csr, ExtendedKeyUsagePurpose::ClientAuth);
        // The first step, and then the process is killed.
        write(&stem.with_extension("crt"), chain.as_bytes(), PUBLIC).expect("written");
        let found = files(&folder.0, &sprout(), now).expect("finished");
        assert_eq!(found.contents.certificate, chain.as_bytes());
        assert!(!stem.with_extension("next.key").exists());
    }
}

#[test]
fn an_endpoint_is_trusted_by_its_own_authority_once_it_is_named() {
    let folder = Folder::new("outbound-trust");
    let now = crate::clock::now();
    let authority = Authority::init(&folder.0, "hanse.test", now).expect("an authority");
    let theirs = Theirs::new();
    assert_eq!(files(&folder.0, &sprout(), now).expect("files").crl, Some(folder.0.join("ca.crl")));
    assert_eq!(trust(&folder.0, &sprout(), theirs.pem.as_bytes(), None).expect("trusted"), 1);
    let found = files(&folder.0, &sprout(), now).expect("files");
    assert_eq!((&found.contents.ca[..], found.crl), (theirs.pem.as_bytes(), None));
    let list = std::fs::read(folder.0.join("ca.crl")).expect("a list");
    trust(&folder.0, &sprout(), theirs.pem.as_bytes(), Some(&list)).expect("trusted");
    let found = files(&folder.0, &sprout(), now).expect("files");
    let stem = folder.0.join("outbound/sprout");
    let both = stem.with_extension("trust.pem");
    assert_eq!((&found.ca, &found.crl), (&both, &Some(both.clone())));
    assert!(found.contents.crl.is_some_and(|crl| crl.ends_with(&list)));
    let names: Vec<_> = ends(&folder.0).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["outbound", "outbound/sprout/revocation-list"]);
    let of_list = ends(&folder.0)[1].1;
    assert!([89, 90].contains(&(of_list - now).num_days()), "{of_list}");
    assert!(matches!(trust(&folder.0, &sprout(), theirs.pem.as_bytes(), Some(b"")), Err(PkiError::Unreadable(_))));
    assert_eq!(files(&folder.0, &sprout(), now).expect("files").crl, Some(both), "all stays as it was");
    assert!(matches!(trust(&folder.0, &sprout(), b"", None), Err(PkiError::Unreadable(_))));
    let leaf = authority.issue(&super::super::tests::lumen(), now).expect("issued").pem;
    assert!(matches!(trust(&folder.0, &sprout(), leaf.as_bytes(), None), Err(PkiError::NoAuthority)));
    // Others go on by the alliance's authority.
    let nest = "nest".parse().expect("a slug");
    assert_eq!(files(&folder.0, &nest, now).expect("files").ca, folder.0.join("ca.crt"));
}

/// A change of authorities is one rename: whatever a crash leaves of files beside it, no authority is without its list and
/// none has another's.
#[test]
fn a_change_of_authorities_is_whole_wherever_it_is_cut_off() {
    let folder = Folder::new("outbound-trust-cut");
    let now = crate::clock::now();
    Authority::init(&folder.0, "hanse.test", now).expect("an authority");
    let (before, after) = (Theirs::new(), Theirs::new());
    let list = std::fs::read(folder.0.join("ca.crl")).expect("a list");
    let stem = folder.0.join("outbound/sprout");
    std::fs::create_dir_all(folder.0.join("outbound")).expect("a folder");
    // As they were kept when they were two files.
    let old = [("ca.crt", before.pem.as_bytes()), ("ca.crl", &list[..])];
    let put = |name: &str, bytes: &[u8]| std::fs::write(stem.with_extension(name), bytes).expect("written");
    old.iter().for_each(|(name, bytes)| put(name, bytes));
    let found = || files(&folder.0, &sprout(), now).expect("files").contents;
    assert_eq!((&found().ca[..], found().crl.as_deref()), (before.pem.as_bytes(), Some(&list[..])));
    assert_eq!(ends(&folder.0).len(), 2, "the list of a file of its own is looked at too");
    for crl in [None, Some(&list[..])] {
        trust(&folder.0, &sprout(), after.pem.as_bytes(), crl).expect("trusted");
        let whole = found();
        assert!(whole.ca.starts_with(after.pem.as_bytes()));
        assert_eq!(whole.crl.is_some(), crl.is_some());
        assert!(!stem.with_extension("ca.crt").exists() && !stem.with_extension("ca.crl").exists());
        // Cut off after the rename: either of the old files, or both, may still be there.
        for (name, bytes) in old {
            put(name, bytes);
            assert_eq!((found().ca, found().crl), (whole.ca.clone(), whole.crl.clone()), "{name}");
        }
    }
}
