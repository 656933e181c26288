//! The catalogue: everything both brands published, as one immutable value.
//!
//! A lane holds one `Catalogue` and takes a newer one when `version` in the database is higher, so a decision never
//! mixes two states. Loaded by `store::catalogue`, built in tests by hand.

use super::expiry::Expiry;
use super::ids::Slug;
use super::money::Millionths;
use super::points::Points;
use super::rate::{Rate, TierScope};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use super::settings::{Accounts, Cycle, Netting, Operator, Rounding, Settlement};

/// A name people read, in both languages of the alliance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Name {
    pub en: String,
    pub zh: String,
}

#[derive(Clone, Debug)]
pub struct Catalogue {
    /// Raised by every change of rates, campaigns, agreements, limits and suspensions.
    pub version: i64,
    pub alliance: Alliance,
    pub partners: BTreeMap<Slug, Partner>,
    /// Partners that have left and with which all is settled: nothing is posted with them any more.
    pub closed: BTreeSet<Slug>,
    /// What is published for each direction, keyed (from, to).
    pub pairs: HashMap<(Slug, Slug), Pair>,
}

/// The federation one deployment serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alliance {
    pub slug: String,
    pub name: Name,
    /// ISO 4217 code of the settlement currency.
    pub currency: String,
    pub zone: Tz,
    /// Authority of the SPIFFE ids in certificates: `spiffe://<trust_domain>/partner/<slug>`.
    pub trust_domain: String,
    /// A sandbox alliance has a start date and a clock that can be advanced.
    pub sandbox_start: Option<NaiveDate>,
    pub quote_ttl_s: u32,
    /// Days before a new link opens; 0 opens at once.
    pub link_cooling_days: u32,
    /// In a bilateral alliance limits are per pair only.
    pub bilateral: bool,
    pub settlement: Settlement,
    pub operator: Operator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartnerStatus {
    Joining,
    Active,
    Suspended,
    Leaving,
    Left,
}

/// A brand with exactly one programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    pub slug: Slug,
    pub name: Name,
    /// What the brand sells: `mall`, `dining`, …
    pub trade: String,
    pub legal_entity: String,
    pub tax_code: String,
    pub status: PartnerStatus,
    /// Hosted: Hanse keeps its accounts.
    pub hosted: bool,
    pub programme: Programme,
    pub limits: MemberLimits,
    /// Stop line of the partner's own net; `None` is no limit. Ignored in a bilateral alliance.
    pub exposure_limit: Option<Millionths>,
    /// Where the partner books what its statements say.
    pub accounts: Accounts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programme {
    pub code: String,
    pub name: Name,
    /// Decimals of the programme's smallest unit, usually 0.
    pub scale: u32,
    /// What a point costs its issuer.
    pub unit_cost: Millionths,
    /// Points live to the month end this many months after they arrive.
    pub expiry_months: u32,
    /// 1 to 5 rungs, lowest first.
    pub tiers: Vec<Tier>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    pub code: String,
    pub name: Name,
    /// Points of this tier never expire.
    pub never_expires: bool,
}

/// Debited points out and credited points in, per membership, by calendar day and month of the alliance's zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberLimits {
    pub out_day: Option<Points>,
    pub out_month: Option<Points>,
    pub in_day: Option<Points>,
    pub in_month: Option<Points>,
}

/// All that is published for one direction.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    /// Every agreement version, oldest first.
    pub agreements: Vec<Agreement>,
    pub rates: Vec<Rate>,
    pub campaigns: Vec<Campaign>,
}

/// Dated, versioned terms of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    pub version: i64,
    /// What the origin pays the target for each credited point.
    pub settlement_price: Millionths,
    pub fee_basis_points: i64,
    pub fee_payer: Party,
    pub notice_days: u32,
    pub undo_s: u32,
    /// `true`: arriving points expire by the target's rule alone, not earlier with the origin lot.
    pub renews_on_arrival: bool,
    /// Stop line of the pair's gross; `None` is no limit.
    pub exposure_limit: Option<Millionths>,
    /// Whether the other side must confirm a reversal.
    pub reversal_needs_confirmation: bool,
    /// Spent points at a reversal: refuse (`false`, default) or the target pays (`true`).
    pub target_pays_spent: bool,
    /// Points that come back with an end already past live to the first month end at least this many days away.
    pub grace_days: u32,
    pub dispute_days: u32,
    pub valid_from: DateTime<Utc>,
    pub superseded_from: Option<DateTime<Utc>>,
}

/// Who pays or funds something in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    From,
    To,
    Operator,
}

impl Party {
    pub fn code(self) -> &'static str {
        match self {
            Party::From => "from",
            Party::To => "to",
            Party::Operator => "operator",
        }
    }

    pub fn parse(code: &str) -> Option<Party> {
        [Party::From, Party::To, Party::Operator].into_iter().find(|party| party.code() == code)
    }
}

/// A dated bonus: a floored share of the base credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    pub code: String,
    pub version: i64,
    pub name: Name,
    pub tier: TierScope,
    /// Hundredths of a per cent of the base credit: 1,000 is +10 %.
    pub bonus_basis_points: i64,
    pub funder: Party,
    /// Adds to other campaigns that also say so; otherwise the best single one counts.
    pub stacks: bool,
    pub valid_from: DateTime<Utc>,
    pub valid_to: DateTime<Utc>,
    pub superseded_from: Option<DateTime<Utc>>,
}

impl Campaign {
    pub fn is_live(&self, at: DateTime<Utc>) -> bool {
        let end = self.superseded_from.map_or(self.valid_to, |end| end.min(self.valid_to));
        self.valid_from <= at && at < end
    }
}

impl Programme {
    pub fn tier(&self, code: &str) -> Option<&Tier> {
        self.tiers.iter().find(|tier| tier.code == code)
    }

    /// When points that arrive on `day` for a member of `tier` end.
    pub fn expiry(&self, tier: &str, day: NaiveDate) -> Expiry {
        if self.tier(tier).is_some_and(|tier| tier.never_expires) {
            Expiry::Never
        } else {
            Expiry::months_after(day, self.expiry_months)
        }
    }
}

impl Catalogue {
    pub fn pair(&self, from: &Slug, to: &Slug) -> Option<&Pair> {
        self.pairs.get(&(from.clone(), to.clone()))
    }
}

impl Pair {
    /// The agreement in force at `at`.
    pub fn agreement(&self, at: DateTime<Utc>) -> Option<&Agreement> {
        self.agreements
            .iter()
            .rev()
            .find(|terms| terms.valid_from <= at && terms.superseded_from.is_none_or(|end| at < end))
    }

    /// The rate in force at `at` for an earned `tier`: the exact tier wins over any.
    pub fn rate(&self, tier: &str, at: DateTime<Utc>) -> Option<&Rate> {
        let live = |scope: &dyn Fn(&TierScope) -> bool| {
            self.rates.iter().rev().find(|rate| rate.is_live(at) && scope(&rate.tier))
        };
        live(&|scope| *scope == TierScope::Only(tier.to_owned())).or_else(|| live(&|scope| *scope == TierScope::Any))
    }

    /// The campaigns that count at `at` for `tier`: all that stack together, or the best single one.
    pub fn campaigns(&self, tier: &str, at: DateTime<Utc>) -> Vec<&Campaign> {
        let applies = |campaign: &&Campaign| {
            let scope = match &campaign.tier {
                TierScope::Any => true,
                TierScope::Only(code) => code == tier,
            };
            scope && campaign.is_live(at)
        };
        let (stacking, single): (Vec<_>, Vec<_>) = self.campaigns.iter().filter(applies).partition(|c| c.stacks);
        let together: i64 = stacking.iter().map(|campaign| campaign.bonus_basis_points).sum();
        // On a tie the lower code wins, so that every server picks the same one.
        let best = single
            .into_iter()
            .max_by(|a, b| a.bonus_basis_points.cmp(&b.bonus_basis_points).then_with(|| b.code.cmp(&a.code)));
        match best {
            Some(campaign) if campaign.bonus_basis_points > together => vec![campaign],
            _ => stacking,
        }
    }

    /// Every instant at which a rate or campaign of this direction begins or ends, in no order.
    pub fn instants(&self) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        let rates = self.rates.iter().flat_map(|rate| [Some(rate.valid_from), rate.ends_at()]);
        let campaigns = self
            .campaigns
            .iter()
            .flat_map(|campaign| [Some(campaign.valid_from), Some(campaign.valid_to), campaign.superseded_from]);
        rates.chain(campaigns).flatten()
    }
}
