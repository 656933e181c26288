//! From proposals to rows: what differs, what the catalogue becomes, and every check but the signatures.

use super::Error;
use super::document::Change;
use crate::domain::catalogue::{Alliance, Catalogue, Pair, Partner, PartnerStatus};
use crate::domain::change::cut::{self, Cut};
use crate::domain::change::{Moment, PairChange, PairUpdate, Vanished, Versions};
use crate::domain::ids::Slug;
use crate::domain::plan::{Plan, PlannedPartner, day_start};
use crate::domain::proposal::Subject;
use crate::domain::rate::TierScope;
use crate::store::catalogue::write::Aside;
use chrono::{DateTime, Days, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Notice of a change no agreement says anything about yet.
const NOTICE_DAYS: u32 = 14;

/// What is published, with what the catalogue itself does not hold.
#[derive(Clone, Debug)]
pub struct Published {
    pub catalogue: Catalogue,
    pub aside: Aside,
}

/// One change to publish, with what its notice is counted from.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub subject: Subject,
    pub change: Change,
    pub proposed_at: DateTime<Utc>,
    pub notice_days: u32,
}

/// The catalogue as it would be, with the rows that make it so.
#[derive(Debug)]
pub struct Candidate {
    pub catalogue: Catalogue,
    /// Where a new alliance begins.
    pub founding: Option<DateTime<Utc>>,
    pub alliance: Option<(Alliance, Option<String>)>,
    pub partners: Vec<PlannedPartner>,
    pub pairs: Vec<((Slug, Slug), PairUpdate)>,
}

/// What `plan` has and `published` lacks, in the order in which it must be written.
pub fn changes(
    published: Option<&Published>,
    plan: &Plan,
    now: DateTime<Utc>,
) -> Result<Vec<(Subject, Change)>, Error> {
    let mut found = Vec::new();
    let standing = published.map(|published| (&published.catalogue.alliance, &published.aside.mandate));
    if let Some((alliance, _)) = standing {
        fixed(alliance, &plan.alliance)?;
    }
    if standing != Some((&plan.alliance, &plan.mandate)) {
        let change = Change::Alliance { alliance: plan.alliance.clone(), mandate: plan.mandate.clone() };
        found.push((Subject::Alliance, change));
    }
    let mut vanished = Vec::new();
    // Whoever has left needs no manifest any more; what was published with it stays.
    let left = |slug: &Slug| {
        let partner = published.and_then(|published| published.catalogue.partners.get(slug));
        partner.is_some_and(|partner| partner.status == PartnerStatus::Left)
    };
    for slug in published.iter().flat_map(|published| published.catalogue.partners.keys()) {
        if !plan.partners.contains_key(slug) && !left(slug) {
            vanished.push(format!("{slug} is a partner but has no manifest: a partner leaves with `partners leave`"));
        }
    }
    for (slug, planned) in &plan.partners {
        let standing = published.and_then(|published| Some((published, published.catalogue.partners.get(slug)?)));
        if let Some((published, partner)) = standing {
            unmoved(partner, planned, &mut vanished);
            // The status is no matter of manifests.
            let wanted = Partner { status: partner.status, ..planned.partner.clone() };
            if wanted == *partner && published.aside.endpoints.get(slug) == planned.endpoint.as_ref() {
                continue;
            }
        }
        found.push((Subject::Partner(slug.clone()), Change::Partner(planned.clone())));
    }
    let nothing = Pair::default();
    for ((from, to), planned) in &plan.pairs {
        let pair = published.and_then(|published| published.catalogue.pair(from, to)).unwrap_or(&nothing);
        match PairChange::between(pair, planned, now) {
            Ok(change) if change.is_empty() => {}
            Ok(change) => found.push((Subject::Pair(from.clone(), to.clone()), Change::Pair(change))),
            Err(gone) => vanished.extend(gone.iter().map(|gone| told(from, to, gone))),
        }
    }
    for (from, to) in published.iter().flat_map(|published| published.catalogue.pairs.keys()) {
        if !plan.pairs.contains_key(&(from.clone(), to.clone())) && !left(from) && !left(to) {
            vanished
                .push(format!("{from} → {to} has an agreement but none in the manifests: give its rates a valid_to"));
        }
    }
    vanished.sort();
    if vanished.is_empty() { Ok(found) } else { Err(Error::Vanished(vanished)) }
}

fn told(from: &Slug, to: &Slug, gone: &Vanished) -> String {
    match gone {
        Vanished::Rate { tier, version } => {
            let tier = match tier {
                TierScope::Any => "any tier",
                TierScope::Only(code) => code,
            };
            format!("{from} → {to}: rate version {version} for {tier} is published; give it a valid_to to end it")
        }
        Vanished::Campaign { code } => {
            format!("{from} → {to}: campaign `{code}` is published; give it an earlier valid_to to end it")
        }
    }
}

/// What of an alliance never changes once it is published.
fn fixed(published: &Alliance, planned: &Alliance) -> Result<(), Error> {
    let same = [
        ("slug", published.slug == planned.slug),
        ("currency", published.currency == planned.currency),
        ("zone", published.zone == planned.zone),
        ("trust_domain", published.trust_domain == planned.trust_domain),
        ("sandbox_start", published.sandbox_start == planned.sandbox_start),
        ("bilateral", published.bilateral == planned.bilateral),
    ];
    match same.into_iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(Error::Fixed { field }),
        None => Ok(()),
    }
}

/// What of a partner never changes once it is published.
fn unmoved(partner: &Partner, planned: &PlannedPartner, findings: &mut Vec<String>) {
    let slug = &partner.slug;
    let wanted = &planned.partner;
    if partner.programme.scale != wanted.programme.scale {
        findings.push(format!("{slug}: programme.scale is fixed once it is published"));
    }
    if partner.hosted != wanted.hosted {
        findings.push(format!("{slug}: a partner cannot change between hosted and remote by its manifest"));
    }
    for tier in &partner.programme.tiers {
        if wanted.programme.tier(&tier.code).is_none() {
            findings.push(format!("{slug}: tier `{}` is published; a tier can be renamed, not removed", tier.code));
        }
    }
}

/// Days of notice a cut by this change needs.
pub fn notice_days(published: Option<&Published>, subject: &Subject, change: &Change, now: DateTime<Utc>) -> u32 {
    let current = |pair: Option<&Pair>| Some(pair?.agreement(now)?.notice_days);
    let catalogue = published.map(|published| &published.catalogue);
    match (subject, change) {
        (Subject::Pair(from, to), Change::Pair(change)) => {
            let planned = change.terms.as_ref().map(|terms| terms.notice_days);
            current(catalogue.and_then(|catalogue| catalogue.pair(from, to))).or(planned).unwrap_or(NOTICE_DAYS)
        }
        (Subject::Partner(own), _) => {
            let own_pairs = catalogue.iter().flat_map(|catalogue| &catalogue.pairs);
            let longest = own_pairs
                .filter(|((from, to), _)| from == own || to == own)
                .filter_map(|(_, pair)| current(Some(pair)))
                .max();
            longest.unwrap_or(NOTICE_DAYS)
        }
        (Subject::Alliance | Subject::Pair(_, _), _) => NOTICE_DAYS,
    }
}

/// The catalogue with all of `wanted` published at `now`, and the cuts it makes checked for their notice.
pub fn candidate(
    published: Option<&Published>,
    wanted: &[Wanted],
    versions: &HashMap<(Slug, Slug), Versions>,
    now: DateTime<Utc>,
) -> Result<Candidate, Error> {
    let head = wanted.iter().find_map(|wanted| match &wanted.change {
        Change::Alliance { alliance, mandate } => Some((alliance.clone(), mandate.clone())),
        Change::Partner(_) | Change::Pair(_) => None,
    });
    let (mut catalogue, founding) = match (published, &head) {
        (Some(published), _) => (published.catalogue.clone(), None),
        (None, Some((alliance, _))) => {
            let start = alliance.sandbox_start.map_or(now, |day| day_start(alliance.zone, day));
            let (partners, pairs) = (BTreeMap::new(), HashMap::new());
            let closed = BTreeSet::new();
            (Catalogue { version: 0, alliance: alliance.clone(), partners, closed, pairs }, Some(start))
        }
        (None, None) => return Err(Error::NoAlliance),
    };
    let moment = Moment { now, founding };
    let mut candidate =
        Candidate { catalogue: catalogue.clone(), founding, alliance: head, partners: vec![], pairs: vec![] };
    for wanted in wanted {
        if let Change::Partner(planned) = &wanted.change {
            put_partner(&mut catalogue, planned, wanted, now)?;
            candidate.partners.push(planned.clone());
        }
    }
    let (none, unversioned) = (Pair::default(), Versions::default());
    for wanted in wanted {
        let (Subject::Pair(from, to), Change::Pair(change)) = (&wanted.subject, &wanted.change) else { continue };
        for slug in [from, to] {
            if !catalogue.partners.contains_key(slug) {
                return Err(Error::NoPartner { subject: wanted.subject.clone(), partner: slug.clone() });
            }
        }
        let key = (from.clone(), to.clone());
        let before = catalogue.pairs.get(&key).unwrap_or(&none).clone();
        let update = change.settle(&before, versions.get(&key).unwrap_or(&unversioned), moment);
        let after = update.applied(&before);
        // Before the founding nothing was promised.
        if founding.is_none() {
            let ladder = &catalogue.partners[from].programme.tiers;
            noticed(&before, &after, cut::first(&before, &after, ladder, now), wanted, now)?;
        }
        catalogue.pairs.insert(key.clone(), after);
        candidate.pairs.push((key, update));
    }
    if let Some((alliance, _)) = &candidate.alliance {
        catalogue.alliance = alliance.clone();
    }
    candidate.catalogue = catalogue;
    Ok(candidate)
}

fn put_partner(
    catalogue: &mut Catalogue,
    planned: &PlannedPartner,
    wanted: &Wanted,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut partner = planned.partner.clone();
    if let Some(before) = catalogue.partners.get(&partner.slug) {
        partner.status = before.status;
        if cut::narrows_partner(before, &partner) {
            waited(wanted, now, "its limits get lower")?;
        }
    }
    catalogue.partners.insert(partner.slug.clone(), partner);
    Ok(())
}

/// Cuts that `wanted` makes need their notice.
fn noticed(before: &Pair, after: &Pair, cut: Option<Cut>, wanted: &Wanted, now: DateTime<Utc>) -> Result<(), Error> {
    if let Some(cut) = cut {
        let earliest = notice_end(wanted);
        if cut.at < earliest {
            let (subject, what) = (wanted.subject.clone(), format!("tier {} {}", cut.tier, cut.kind));
            return Err(Error::Notice { subject, what, at: cut.at, days: wanted.notice_days, earliest });
        }
    }
    match (before.agreement(now), after.agreement(now)) {
        (Some(before), Some(after)) if cut::narrows_agreement(before, after.exposure_limit) => {
            waited(wanted, now, "its exposure limit gets lower")
        }
        _ => Ok(()),
    }
}

/// A cut that begins when it is published must wait for its notice.
fn waited(wanted: &Wanted, now: DateTime<Utc>, what: &'static str) -> Result<(), Error> {
    let earliest = notice_end(wanted);
    if now >= earliest {
        return Ok(());
    }
    Err(Error::Wait { subject: wanted.subject.clone(), what, days: wanted.notice_days, earliest })
}

fn notice_end(wanted: &Wanted) -> DateTime<Utc> {
    wanted.proposed_at + Days::new(u64::from(wanted.notice_days))
}
