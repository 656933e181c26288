//! The authority's revocation list, `ca.crl`: anybody reads it, whoever has the authority's key makes it anew.
//!
//! Nothing ever leaves the list: it is written as what it said before and what is new, so that of two who revoke at once
//! neither undoes the other.

use super::{Authority, CLIENT_DAYS, EARLY, Locked, PkiError, read_pem, unhex, write};
use crate::signing::private_file::PUBLIC;
use crate::signing::x509::hex;
use chrono::{DateTime, Days, Utc};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// What a revocation list says.
#[derive(Clone, Debug)]
pub struct List {
    /// Hexadecimal serial numbers.
    pub serials: BTreeSet<String>,
    pub number: u64,
    /// From here on servers refuse everybody.
    pub next_update: DateTime<Utc>,
    entries: Vec<RevokedCertParams>,
}

impl List {
    /// Reads `ca.crl` of an authority's folder; its key is not needed.
    pub fn read(folder: &Path) -> Result<List, PkiError> {
        let file = folder.join("ca.crl");
        let der = read_pem(&file, "X509 CRL")?;
        let unreadable = || PkiError::Unreadable(file.clone());
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|_| unreadable())?;
        let number = list.crl_number().and_then(|number| u64::try_from(number).ok()).ok_or_else(unreadable)?;
        let next = list.next_update().and_then(|next| DateTime::from_timestamp(next.timestamp(), 0));
        let entry = |entry: &x509_parser::prelude::RevokedCertificate<'_>| {
            let seconds = u64::try_from(entry.revocation_date.timestamp()).unwrap_or_default();
            let serial = unhex(&hex(entry.raw_serial())).ok_or_else(unreadable)?;
            Ok(revoked_entry(&serial, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
        };
        let entries: Result<Vec<_>, PkiError> = list.iter_revoked_certificates().map(entry).collect();
        let serials = list.iter_revoked_certificates().map(|entry| hex(entry.raw_serial())).collect();
        Ok(List { serials, number, next_update: next.ok_or_else(unreadable)?, entries: entries? })
    }
}

impl Authority {
    /// Puts a serial on the revocation list; `false` when it was there. The list is made anew either way.
    pub fn revoke(&self, serial: &str, now: DateTime<Utc>) -> Result<bool, PkiError> {
        Ok(self.revoke_all([serial], now)? > 0)
    }

    /// Puts these serials on the list beside those that are there, and says how many are new. A list that is gone or
    /// cannot be read is made of these alone. It lives its full time from now on, whether or not any is new.
    pub fn revoke_all<'a>(
        &self,
        serials: impl IntoIterator<Item = &'a str>,
        now: DateTime<Utc>,
    ) -> Result<usize, PkiError> {
        let locked = self.lock()?;
        let (mut known, mut entries, number) = match List::read(&self.folder) {
            Ok(list) => (list.serials, list.entries, list.number + 1),
            // A number no earlier list can have reached.
            Err(_) => (BTreeSet::new(), Vec::new(), u64::try_from(now.timestamp()).unwrap_or(1)),
        };
        let before = known.len();
        for serial in serials {
            let bytes = unhex(serial).ok_or_else(|| PkiError::Unreadable(PathBuf::from(serial)))?;
            if known.insert(serial.to_owned()) {
                entries.push(revoked_entry(&bytes, now.into()));
            }
        }
        self.write_list(&locked, entries, number, now)?;
        Ok(known.len() - before)
    }

    /// The same revocations on a list that lives as long as the certificate just made: an authority that issues and
    /// never revokes must not end up with a list that has expired, which shuts everybody out.
    pub(super) fn renew_list(&self, locked: &Locked, now: DateTime<Utc>) -> Result<(), PkiError> {
        let list = List::read(&self.folder)?;
        self.write_list(locked, list.entries, list.number + 1, now)
    }

    pub(super) fn write_list(
        &self,
        locked: &Locked,
        revoked_certs: Vec<RevokedCertParams>,
        number: u64,
        now: DateTime<Utc>,
    ) -> Result<(), PkiError> {
        let next = now.checked_add_days(Days::new(CLIENT_DAYS)).unwrap_or(now);
        let list = CertificateRevocationListParams {
            this_update: SystemTime::from(now - EARLY).into(),
            next_update: SystemTime::from(next).into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        write(&self.path("ca.crl"), list.signed_by(&locked.issuer)?.pem()?.as_bytes(), PUBLIC)
    }
}

fn revoked_entry(serial: &[u8], at: SystemTime) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: at.into(),
        reason_code: None,
        invalidity_date: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Folder, lumen};
    use super::*;
    use crate::domain::holder::Holder;

    #[test]
    fn the_list_grows_numbers_itself_and_names_its_authority() {
        let folder = Folder::new("list");
        let now = crate::clock::now();
        let authority = Authority::init(&folder.0, "hanse.test", now).expect("an authority");
        let serials: Vec<_> = ["lumen", "harvest"]
            .map(|name| authority.issue(&Holder::of("partner", name).expect("a slug"), now))
            .into_iter()
            .map(|issued| issued.expect("issued").facts.serial)
            .collect();
        assert!(authority.revoke(&serials[0], now).expect("revoked"));
        assert!(authority.revoke(&serials[1], now).expect("revoked"));
        assert!(!authority.revoke(&serials[0], now).expect("revoked before"));
        let der = read_pem(&folder.0.join("ca.crl"), "X509 CRL").expect("a list");
        let (_, list) = CertificateRevocationList::from_der(&der).expect("a list");
        let listed: Vec<_> = list.iter_revoked_certificates().map(|entry| hex(entry.raw_serial())).collect();
        assert_eq!(listed, serials);
        // One with the authority, one for each certificate issued, one for each time of revoking.
        assert_eq!(list.crl_number().map(ToString::to_string).as_deref(), Some("6"));
        let oids: Vec<_> = list.extensions().iter().map(|extension| extension.oid.to_id_string()).collect();
        assert!(oids.contains(&"2.5.29.35".to_owned()), "{oids:?}");
        assert!(authority.revoke("zz", now).is_err());
    }

    #[test]
    fn a_list_that_is_gone_is_made_again_of_what_is_known() {
        let folder = Folder::new("list-gone");
        let now = crate::clock::now();
        let authority = Authority::init(&folder.0, "hanse.test", now).expect("an authority");
        let serial = authority.issue(&lumen(), now).expect("issued").facts.serial;
        authority.revoke(&serial, now).expect("revoked");
        let before = List::read(&folder.0).expect("a list");
        std::fs::write(folder.0.join("ca.crl"), b"garbage").expect("written");
        assert!(List::read(&folder.0).is_err());
        assert_eq!(authority.revoke_all([serial.as_str()], now).expect("made"), 1);
        let after = List::read(&folder.0).expect("a list");
        assert_eq!(after.serials, before.serials);
        assert!(after.number > before.number, "{} after {}", after.number, before.number);
    }

    #[test]
    fn of_many_who_revoke_at_once_none_is_lost() {
        let folder = Folder::new("list-race");
        let now = crate::clock::now();
        Authority::init(&folder.0, "hanse.test", now).expect("an authority");
        let serials: Vec<String> = (16..48).map(|nth: u8| format!("40{nth:02x}")).collect();
        std::thread::scope(|scope| {
            for serial in &serials {
                // Opened anew: another process has locks of its own.
                let authority = Authority::open(&folder.0).expect("an authority");
                scope.spawn(move || assert!(authority.revoke(serial, now).expect("revoked")));
            }
        });
        assert_eq!(List::read(&folder.0).expect("a list").serials, serials.into_iter().collect());
    }
}
