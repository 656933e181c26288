//! Ids: UUIDs with a prefix that says what they name, `cnv_0198c0…` without dashes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

/// A text that is not an id of the kind wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let hex = text.strip_prefix(concat!($prefix, "_")).ok_or(NotAnId)?;
                // Exactly one spelling per id: 32 lower-case digits.
                if hex.len() != 32 || hex.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(NotAnId);
                }
                Uuid::try_parse(hex).map($name).map_err(|_| NotAnId)
            }
        }
    )*};
}

ids! {
    /// A membership and its points account: one id, given once, never changed.
    AccountId = "mem";
    /// A person, known to the alliance by this random id only.
    MemberId = "per";
    ConversionId = "cnv";
    QuoteId = "quo";
    /// A credit or a debit of a hosted account.
    MovementId = "mov";
    /// An undo or a reversal of a conversion.
    ReversalId = "rev";
    LinkId = "lnk";
    EventId = "evt";
    WindowId = "win";
    ProposalId = "prp";
    ActivityId = "act";
    /// The pairwise token by which one brand knows the other side's member.
    TokenId = "tok";
    /// One settlement line: made of what was posted and whose line it is.
    LineId = "lin";
    StatementId = "stm";
    ObligationId = "obl";
    PaymentId = "pay";
    AdjustmentId = "adj";
    DisputeId = "dis";
    ReconciliationId = "rec";
    WebhookId = "whk";
    /// An event at an endpoint: the endpoint's number, then the event's sequence.
    DeliveryId = "dlv";
    /// What a partner offers: made of its slug and its own code for it.
    BenefitId = "bnf";
    /// A member's right to one benefit.
    VoucherId = "vch";
    /// What settles of a voucher: its issue, a redemption, or what takes one back.
    UseId = "use";
    /// Somebody who signs in to pages.
    StaffId = "stf";
}

/// A partner's slug: 2 to 32 characters of `a–z`, `0–9`, `-`, the first a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(Arc<str>);

impl Slug {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Slug, NotAnId> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (2..=32).contains(&text.len()) && text.as_bytes()[0].is_ascii_lowercase() && text.bytes().all(plain);
        if fits { Ok(Slug(text.into())) } else { Err(NotAnId) }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 of a key (RFC 7638) or of a certificate (`x5t#S256`, RFC 7515 §4.1.8): 43 characters of base64url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbprint(String);

impl Thumbprint {
    pub fn into_string(self) -> String {
        self.0
    }
}

impl FromStr for Thumbprint {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Thumbprint, NotAnId> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if text.len() == 43 && text.bytes().all(plain) { Ok(Thumbprint(text.to_owned())) } else { Err(NotAnId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling_and_names_its_kind() {
        let id = ConversionId(Uuid::from_u128(0x0198_c0de));
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.parse::<QuoteId>(), Err(NotAnId));
        assert_eq!(text.to_uppercase().parse::<ConversionId>(), Err(NotAnId));
        assert_eq!(format!("cnv_{}", id.0).parse::<ConversionId>(), Err(NotAnId));
    }

    #[test]
    fn a_thumbprint_is_of_its_length_and_of_base64url() {
        assert!("--6IM5l0OosLj9yWskISYhUA3n_3CURQkmrYMSha_ck".parse::<Thumbprint>().is_ok());
        for bad in
            ["", "short", "--6IM5l0OosLj9yWskISYhUA3n_3CURQkmrYMSha_c\0", "--6IM5l0OosLj9yWskISYhUA3n_3CURQkmrYMSha_c="]
        {
            assert_eq!(bad.parse::<Thumbprint>(), Err(NotAnId), "{bad:?}");
        }
    }

    #[test]
    fn slugs_are_short_and_plain() {
        assert!("lumen".parse::<Slug>().is_ok());
        for bad in ["", "a", "Lumen", "1up", "a_b", "a b", "é2"] {
            assert_eq!(bad.parse::<Slug>(), Err(NotAnId), "{bad}");
        }
    }
}
