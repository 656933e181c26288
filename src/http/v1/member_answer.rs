//! What is told of a membership: itself, its points, its journal, everything.

use crate::domain::ids::{AccountId, ConversionId, LinkId, MovementId, ReversalId, TokenId, UseId, VoucherId};
use crate::domain::money::Millionths;
use crate::service::answer::{ConversionState, MovementAnswer, PendingAnswer, Shown, expires_on};
use crate::service::benefits::answer::VoucherAnswer;
use crate::service::exports::Export;
use crate::service::memberships::{Activity, Consent, EntryKind, EntryPlace, EntryRow, LinkRow, Membership, Whole};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// A membership as its brand told it.
#[derive(Debug, Serialize, ToSchema)]
pub struct MembershipSummary {
    #[schema(value_type = String, pattern = "^mem_[0-9a-f]{32}$")]
    membership_id: Shown<AccountId>,
    #[schema(example = "L-1001")]
    member_ref: String,
    tier: String,
    tier_source: String,
    #[schema(value_type = Option<String>, format = Date)]
    tier_until: Option<NaiveDate>,
    #[schema(example = "active")]
    status: String,
    status_reason: Option<String>,
    identity: Option<String>,
    birth_month: Option<i16>,
    #[schema(value_type = Option<String>, format = Date)]
    member_since: Option<NaiveDate>,
    /// What its brand has put on it.
    tags: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: DateTime<Utc>,
    #[schema(value_type = String, format = DateTime)]
    changed_at: DateTime<Utc>,
}

/// A membership with its points.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Membership)]
pub struct MembershipAnswer {
    #[serde(flatten)]
    summary: MembershipSummary,
    /// The tier that decides rates and expiry.
    earned_tier: String,
    /// Lots and held points together.
    balance: i64,
    held: i64,
    owed: i64,
    lots: Vec<LotShown>,
    links: Vec<LinkShown>,
}

/// Points that expire together.
#[derive(Debug, Serialize, ToSchema)]
pub struct LotShown {
    #[schema(value_type = Option<String>, format = Date)]
    expires_on: Option<NaiveDate>,
    points: i64,
    /// Until then pending: neither spent nor converted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    available_on: Option<NaiveDate>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LinkShown {
    #[schema(value_type = String)]
    link_id: Shown<LinkId>,
    /// The other brand.
    partner: String,
    /// By which this brand knows the other side's member.
    #[schema(value_type = String)]
    counterpart: Shown<TokenId>,
    /// End of cooling.
    #[schema(value_type = String, format = DateTime)]
    opens_at: DateTime<Utc>,
    /// The other brand may spend this membership's points.
    pull: bool,
}

/// One line of a journal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Entry)]
pub struct EntryAnswer {
    #[serde(skip)]
    pub place: EntryPlace,
    entry_no: i64,
    #[schema(value_type = String, example = "converted_out")]
    kind: &'static str,
    /// Change of the balance.
    points: i64,
    /// The other side of the posting.
    #[schema(value_type = String, example = "issuance")]
    contra: &'static str,
    #[schema(value_type = String, format = Date)]
    day: NaiveDate,
    /// The credit, debit, conversion or reversal it belongs to.
    subject: Option<String>,
}

/// Everything about a person at one brand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Export)]
pub struct ExportAnswer<'a> {
    membership: MembershipAnswer,
    entries: Vec<EntryAnswer>,
    movements: Vec<MovementAnswer<'a>>,
    conversions: Vec<ConversionState<'a>>,
    /// On their way between two ledgers.
    pending: Vec<PendingAnswer<'a>>,
    /// Without their codes.
    vouchers: Vec<VoucherAnswer>,
    links: Vec<LinkKept>,
    consents: Vec<ConsentKept<'a>>,
    activities: Vec<ActivityKept<'a>>,
    /// A list has reached its bound of 10,000: the older part is in the journal's pages.
    truncated: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LinkKept {
    #[schema(value_type = String)]
    link_id: Shown<LinkId>,
    #[schema(value_type = String, format = DateTime)]
    opened_at: DateTime<Utc>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ConsentKept<'a> {
    #[schema(value_type = String)]
    link_id: Shown<LinkId>,
    #[schema(value_type = String)]
    recipient: &'a str,
    #[schema(value_type = String)]
    version: &'a str,
    #[schema(value_type = Option<String>)]
    purpose: Option<&'a str>,
    #[schema(value_type = Option<String>)]
    method: Option<&'a str>,
    #[schema(value_type = Vec<String>)]
    categories: &'a [String],
    pull: bool,
    #[schema(value_type = Option<String>)]
    guardian: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    given_at: DateTime<Utc>,
    #[schema(value_type = Option<String>, format = DateTime)]
    withdrawn_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ActivityKept<'a> {
    #[schema(value_type = String)]
    activity_id: Shown<crate::domain::ids::ActivityId>,
    #[schema(value_type = String)]
    r#type: &'a str,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: DateTime<Utc>,
    #[schema(value_type = Option<String>)]
    amount: Option<Shown<Millionths>>,
    #[schema(value_type = Option<String>)]
    currency: Option<&'a str>,
    #[schema(value_type = Vec<String>)]
    categories: &'a [String],
    #[schema(value_type = Option<String>)]
    channel: Option<&'a str>,
    #[schema(value_type = Option<String>)]
    store: Option<&'a str>,
    #[schema(value_type = String)]
    external_reference: &'a str,
}

impl MembershipSummary {
    pub fn new(membership: Membership) -> MembershipSummary {
        MembershipSummary {
            membership_id: Shown(membership.account),
            member_ref: membership.member_ref,
            tier: membership.tier,
            tier_source: membership.tier_source,
            tier_until: membership.tier_until,
            status: membership.status,
            status_reason: membership.status_reason,
            identity: membership.identity,
            birth_month: membership.birth_month,
            member_since: membership.member_since,
            tags: membership.tags,
            created_at: membership.created_at,
            changed_at: membership.changed_at,
        }
    }

    /// Where a page that ends with this one ends.
    pub fn place(&self) -> String {
        format!("{}.{}", self.changed_at.timestamp_micros(), self.membership_id.0)
    }
}

impl MembershipAnswer {
    pub fn new(whole: &Whole) -> MembershipAnswer {
        let account = &whole.account;
        let lot = |lot: &crate::domain::lots::Lot| LotShown {
            expires_on: expires_on(lot.expires),
            points: lot.points.get(),
            available_on: lot.available_on,
        };
        let link = |link: &crate::service::memberships::LinkState| LinkShown {
            link_id: Shown(link.link),
            partner: link.partner.to_string(),
            counterpart: Shown(link.peer_token),
            opens_at: link.opens_at,
            pull: link.pull,
        };
        MembershipAnswer {
            summary: MembershipSummary::new(whole.membership.clone()),
            earned_tier: account.tier.clone(),
            balance: account.balance.get(),
            held: account.held.get(),
            owed: account.owed.get(),
            lots: account.lots.iter().map(lot).collect(),
            links: account.links.iter().map(link).collect(),
        }
    }
}

impl EntryAnswer {
    pub fn new(entry: &EntryRow) -> EntryAnswer {
        let kind = EntryKind::from_number(entry.kind);
        let subject = |id| match kind {
            Some(
                EntryKind::ConvertedOut
                | EntryKind::ConvertedIn
                | EntryKind::CrossedOut
                | EntryKind::CrossedIn
                | EntryKind::Bonus,
            ) => ConversionId(id).to_string(),
            Some(EntryKind::TakenBack | EntryKind::GivenBack) => ReversalId(id).to_string(),
            Some(EntryKind::Claimed | EntryKind::ClaimRefunded) => VoucherId(id).to_string(),
            Some(EntryKind::BenefitUsed) => UseId(id).to_string(),
            _ => MovementId(id).to_string(),
        };
        EntryAnswer {
            place: entry.place(),
            entry_no: entry.entry_no,
            kind: kind.map_or("unknown", EntryKind::code),
            points: entry.delta,
            contra: if entry.contra == 0 { "issuance" } else { "holds" },
            day: entry.day,
            subject: entry.subject.map(subject),
        }
    }
}

impl<'a> ExportAnswer<'a> {
    pub fn new(export: &'a Export, currency: &'a str) -> ExportAnswer<'a> {
        ExportAnswer {
            membership: MembershipAnswer::new(&export.whole),
            entries: export.entries.iter().map(EntryAnswer::new).collect(),
            movements: export.movement_answers(),
            conversions: export.conversion_states(currency),
            pending: export.pending_answers(currency),
            vouchers: export.voucher_answers(),
            links: export.links.iter().map(LinkKept::new).collect(),
            consents: export.consents.iter().map(ConsentKept::new).collect(),
            activities: export.activities.iter().map(ActivityKept::new).collect(),
            truncated: export.truncated,
        }
    }
}

impl LinkKept {
    fn new(link: &LinkRow) -> LinkKept {
        LinkKept { link_id: Shown(link.link), opened_at: link.opened_at, ended_at: link.ended_at }
    }
}

impl<'a> ConsentKept<'a> {
    fn new(consent: &'a Consent) -> ConsentKept<'a> {
        ConsentKept {
            link_id: Shown(consent.link),
            recipient: &consent.recipient,
            version: &consent.version,
            purpose: consent.purpose.as_deref(),
            method: consent.method.as_deref(),
            categories: &consent.categories,
            pull: consent.pull,
            guardian: consent.guardian.as_deref(),
            given_at: consent.given_at,
            withdrawn_at: consent.withdrawn_at,
        }
    }
}

impl<'a> ActivityKept<'a> {
    fn new(activity: &'a Activity) -> ActivityKept<'a> {
        ActivityKept {
            activity_id: Shown(activity.id),
            r#type: &activity.kind,
            occurred_at: activity.occurred_at,
            amount: activity.spent.as_ref().map(|spent| Shown(spent.amount)),
            currency: activity.spent.as_ref().map(|spent| spent.currency.as_str()),
            categories: &activity.categories,
            channel: activity.channel.as_deref(),
            store: activity.store.as_deref(),
            external_reference: &activity.reference,
        }
    }
}
