//! Settlement: what the postings of a window come to, who owes whom, and when it is due. Pure.
//!
//! `calendar` when a window ends and what follows · `line` which lines a posting has, and for whom · `tally` what lines
//! add up to · `netting` what is owed, rounded once · `window` its states · `statement` how it was answered ·
//! `obligation` what became of a duty · `dispute` what is said to be wrong with a line · `adjustment` what two people add ·
//! `reconcile` a participant's own list against its lines · `incoming` payments that
//! came in against what is owed.

pub mod adjustment;
pub mod calendar;
pub mod dispute;
pub mod incoming;
pub mod line;
pub mod netting;
pub mod obligation;
pub mod reconcile;
pub mod statement;
pub mod tally;
pub mod window;

use super::ids::Slug;
use std::fmt;
use std::sync::LazyLock;

/// One of those a window settles between: a partner, or the operator. Written as the partner's slug, or `operator`, which
/// no partner may be called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Participant(Slug);

static OPERATOR: LazyLock<Slug> = LazyLock::new(|| "operator".parse().expect("eight letters are a slug"));

impl Participant {
    pub fn operator() -> Participant {
        Participant(OPERATOR.clone())
    }

    pub fn is_operator(&self) -> bool {
        self.0 == *OPERATOR
    }

    /// The partner; `None` for the operator.
    pub fn partner(&self) -> Option<&Slug> {
        (!self.is_operator()).then_some(&self.0)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Reads what `Display` wrote; `None` for a text that is no slug.
    pub fn parse(text: &str) -> Option<Participant> {
        text.parse().ok().map(Participant)
    }
}

impl From<&Slug> for Participant {
    fn from(slug: &Slug) -> Participant {
        Participant(slug.clone())
    }
}

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
