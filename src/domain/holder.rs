//! Who a certificate or a signing key belongs to, and how a certificate says so.

use super::ids::Slug;
use std::fmt;

/// A partner, or a named person of the operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    Partner(Slug),
    /// 1 to 64 characters of `a–z`, `0–9`, `.`, `-`, `_`, the first a letter.
    Operator(String),
}

impl Holder {
    /// `partner` or `operator`.
    pub fn kind(&self) -> &'static str {
        match self {
            Holder::Partner(_) => "partner",
            Holder::Operator(_) => "operator",
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Holder::Partner(slug) => slug.as_str(),
            Holder::Operator(name) => name,
        }
    }

    /// The holder of these two texts; `None` when either is not of its form.
    pub fn of(kind: &str, name: &str) -> Option<Holder> {
        match kind {
            "partner" => name.parse().ok().map(Holder::Partner),
            "operator" => is_operator_name(name).then(|| Holder::Operator(name.to_owned())),
            _ => None,
        }
    }

    /// The only URI in the holder's certificate: `spiffe://<trust-domain>/partner/<slug>`.
    pub fn uri(&self, trust_domain: &str) -> String {
        format!("spiffe://{trust_domain}/{self}")
    }

    /// Reads that URI; `None` for another trust domain or another form.
    pub fn from_uri(uri: &str, trust_domain: &str) -> Option<Holder> {
        let path = uri.strip_prefix("spiffe://")?.strip_prefix(trust_domain)?.strip_prefix('/')?;
        let (kind, name) = path.split_once('/')?;
        Holder::of(kind, name)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), self.name())
    }
}

fn is_operator_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    (1..=64).contains(&name.len()) && name.as_bytes()[0].is_ascii_lowercase() && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_one_holder_of_one_trust_domain() {
        let lumen = Holder::of("partner", "lumen").expect("a slug");
        assert_eq!(lumen.uri("hanse.test"), "spiffe://hanse.test/partner/lumen");
        assert_eq!(Holder::from_uri("spiffe://hanse.test/partner/lumen", "hanse.test"), Some(lumen));
        assert_eq!(
            Holder::from_uri("spiffe://hanse.test/operator/ada", "hanse.test"),
            Some(Holder::Operator("ada".to_owned()))
        );
        for bad in [
            "spiffe://hanse.test.evil/partner/lumen",
            "spiffe://evil/partner/lumen",
            "spiffe://hanse.test/partner/lumen/",
            "spiffe://hanse.test/partner/Lumen",
            "spiffe://hanse.test//partner/lumen",
            "spiffe://hanse.test/partner/",
            "spiffe://hanse.test/server/lumen",
            "https://hanse.test/partner/lumen",
            "spiffe://hanse.test/operator/../partner/lumen",
        ] {
            assert_eq!(Holder::from_uri(bad, "hanse.test"), None, "{bad}");
        }
    }
}
