//! What a manifest means: raw values turned into checked ones, every fault told.
//!
//! A fault does not stop the check: a stand-in takes the value's place, and the plan is given out only when there
//! was no finding.

mod direction;
mod settings;
mod value;

use super::find::{Error, Finding, Source};
use super::raw::{AllianceFile, PartnerFile, ProgrammeTable, TermsTable};
use crate::domain::catalogue::{Accounts, Alliance, MemberLimits, Partner, PartnerStatus, Party, Programme, Tier};
use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use crate::domain::plan::{AgreementTerms, Plan, PlannedPartner};
use crate::domain::settlement::netting::Payee;
use std::collections::{BTreeMap, BTreeSet};
use value::Values;

/// Points of one conversion or limit, at most.
const POINTS_MAX: i64 = (1 << 53) - 1;

/// What a member of the alliance must know of the others to check its own file.
pub(super) struct Peers {
    pub zone: chrono_tz::Tz,
    pub defaults: AgreementTerms,
    /// Unit cost of each partner's points: the settlement price unless an agreement says otherwise.
    pub unit_costs: BTreeMap<Slug, Millionths>,
    /// Partners whose file could not be read: that is told already.
    pub unread: BTreeSet<String>,
}

/// Checks all files of one alliance together.
pub(super) fn plan(alliance: &Source, files: &[Source]) -> Result<Plan, Error> {
    let mut findings = Vec::new();
    let raw: AllianceFile = match alliance.parse() {
        Ok(raw) => raw,
        Err(finding) => return Err(Error::Wrong(vec![finding])),
    };
    let mut values = Values::new(alliance, &mut findings);
    let (head, mandate) = check_alliance(&mut values, &raw);
    let defaults = terms(&mut values, "agreement_defaults", &raw.agreement_defaults, &built_in());

    let mut parsed: Vec<(&Source, PartnerFile)> = Vec::new();
    let mut unread = BTreeSet::new();
    for source in files {
        match source.parse() {
            Ok(raw) => parsed.push((source, raw)),
            Err(finding) => {
                unread.insert(source.file_name().trim_end_matches(".toml").to_owned());
                findings.push(finding);
            }
        }
    }
    let mut partners = BTreeMap::new();
    let mut codes = BTreeSet::new();
    for (source, raw) in &parsed {
        let mut values = Values::new(source, &mut findings);
        let planned = check_partner(&mut values, source, raw);
        if !codes.insert(planned.partner.programme.code.clone()) {
            let code = &raw.programme.get_ref().code;
            values.say(code.span(), "programme.code", "another partner's programme has this code; each needs its own");
        }
        partners.insert(planned.partner.slug.clone(), planned);
    }
    let unit_costs =
        partners.iter().map(|(slug, planned)| (slug.clone(), planned.partner.programme.unit_cost)).collect();
    let peers = Peers { zone: head.zone, defaults, unit_costs, unread };
    let mut pairs = BTreeMap::new();
    for (source, raw) in &parsed {
        let Some(planned) = raw.partner.slug.get_ref().parse().ok().and_then(|slug: Slug| partners.get(&slug)) else {
            continue;
        };
        let mut values = Values::new(source, &mut findings);
        direction::check(&mut values, &peers, &planned.partner, &raw.agreements, &mut pairs);
    }
    if findings.is_empty() {
        return Ok(Plan { alliance: head, mandate, partners, pairs });
    }
    findings.sort_by(|a: &Finding, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Err(Error::Wrong(findings))
}

/// Terms of an agreement when neither it nor the alliance says anything.
fn built_in() -> AgreementTerms {
    AgreementTerms {
        settlement_price: Millionths::ZERO,
        fee_basis_points: 0,
        fee_payer: Party::From,
        notice_days: 14,
        undo_s: 15 * 60,
        renews_on_arrival: false,
        exposure_limit: None,
        reversal_needs_confirmation: true,
        target_pays_spent: false,
        grace_days: 30,
        dispute_days: 30,
    }
}

fn check_alliance(values: &mut Values<'_>, raw: &AllianceFile) -> (Alliance, Option<String>) {
    let table = raw.alliance.get_ref();
    let zone = table.zone.get_ref().parse().unwrap_or_else(|_| {
        values.say(
            table.zone.span(),
            "alliance.zone",
            "no such time zone; write an IANA name such as \"Asia/Shanghai\"",
        );
        chrono_tz::UTC
    });
    let currency = table.currency.get_ref();
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        values.say(table.currency.span(), "alliance.currency", "write the ISO 4217 code, such as \"CNY\"");
    }
    let domain = table.trust_domain.get_ref();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    if !(3..=253).contains(&domain.len()) || !domain.bytes().all(plain) {
        values.say(
            table.trust_domain.span(),
            "alliance.trust_domain",
            "write a lower-case host name, such as \"lumen.hanse.example\"; it is the authority of every certificate's id",
        );
    }
    let name = values.name("alliance.name", &table.name);
    let alliance = Alliance {
        slug: values.slug("alliance.slug", &table.slug).to_string(),
        currency: currency.clone(),
        zone,
        trust_domain: domain.clone(),
        sandbox_start: table.sandbox_start.as_ref().and_then(|day| values.day("alliance.sandbox_start", day)),
        quote_ttl_s: values.count("alliance.quote_ttl_seconds", table.quote_ttl_seconds.as_ref(), 10..=86_400, 300),
        link_cooling_days: values.count("alliance.link_cooling_days", table.link_cooling_days.as_ref(), 0..=90, 7),
        bilateral: table.bilateral,
        settlement: settings::settlement(values, &raw.settlement),
        operator: settings::operator(values, &raw.operator, &name),
        name,
    };
    let mandate = table.mandate.as_ref().map(|reason| values.text("alliance.mandate", reason, 500));
    (alliance, mandate)
}

fn check_partner(values: &mut Values<'_>, source: &Source, raw: &PartnerFile) -> PlannedPartner {
    let table = &raw.partner;
    let slug = values.slug("partner.slug", &table.slug);
    if source.file_name().strip_suffix(".toml") != Some(slug.as_str()) {
        values.say(
            table.slug.span(),
            "partner.slug",
            format!("the file of `{slug}` is called {slug}.toml; rename one of the two"),
        );
    }
    if slug.as_str() == Party::Operator.code() {
        let problem = "`operator` names the operator in settlement lines and answers; choose another slug";
        values.say(table.slug.span(), "partner.slug", problem);
    }
    if slug.as_str() == Payee::Alliance.as_str() {
        let problem = "`alliance` names the alliance's settlement account in what is owed; choose another slug";
        values.say(table.slug.span(), "partner.slug", problem);
    }
    let endpoint = table.endpoint.as_ref().map(|url| {
        if !url.get_ref().starts_with("https://") || url.get_ref().len() > 200 {
            values.say(url.span(), "partner.endpoint", "write the https:// address a remote partner answers at");
        }
        url.get_ref().clone()
    });
    let limits = &raw.member_limits;
    let partner = Partner {
        name: values.name("partner.name", &table.name),
        trade: values.code("partner.trade", &table.trade),
        legal_entity: values.text("partner.legal_entity", &table.legal_entity, 128),
        tax_code: values.text("partner.tax_code", &table.tax_code, 64),
        status: PartnerStatus::Active,
        hosted: endpoint.is_none(),
        programme: programme(values, raw.programme.get_ref()),
        limits: MemberLimits {
            out_day: values.limit("member_limits.out_day", limits.out_day.as_ref()),
            out_month: values.limit("member_limits.out_month", limits.out_month.as_ref()),
            in_day: values.limit("member_limits.in_day", limits.in_day.as_ref()),
            in_month: values.limit("member_limits.in_month", limits.in_month.as_ref()),
        },
        exposure_limit: table.exposure_limit.as_ref().map(|money| values.money("partner.exposure_limit", money)),
        accounts: settings::accounts(values, "accounts", &raw.accounts, Accounts::standard()),
        slug,
    };
    PlannedPartner { partner, endpoint }
}

fn programme(values: &mut Values<'_>, table: &ProgrammeTable) -> Programme {
    let code = table.code.get_ref();
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if !(2..=12).contains(&code.len()) || !code.bytes().all(plain) {
        values.say(table.code.span(), "programme.code", "write 2 to 12 capitals or digits, such as \"LUM\"");
    }
    let rungs = table.tiers.get_ref();
    if rungs.is_empty() || rungs.len() > 5 {
        values.say(table.tiers.span(), "programme.tiers", "a ladder has 1 to 5 tiers, lowest first");
    }
    let mut seen = BTreeSet::new();
    let mut tiers = Vec::new();
    for rung in rungs {
        let field = format!("programme.tiers[{}]", rung.code.get_ref());
        if !seen.insert(rung.code.get_ref()) {
            values.say(rung.code.span(), format!("{field}.code"), "this tier is there twice; give each its own code");
        }
        tiers.push(Tier {
            code: values.code(&format!("{field}.code"), &rung.code),
            name: values.name(&format!("{field}.name"), &rung.name),
            never_expires: rung.never_expires,
        });
    }
    Programme {
        code: code.clone(),
        name: values.name("programme.name", &table.name),
        scale: values.count("programme.scale", table.scale.as_ref(), 0..=4, 0),
        unit_cost: values.price("programme.unit_cost", &table.unit_cost),
        expiry_months: values.count("programme.expiry_months", Some(&table.expiry_months), 1..=120, 12),
        tiers,
    }
}

/// `table` over `base`: what it does not say stays.
fn terms(values: &mut Values<'_>, field: &str, table: &TermsTable, base: &AgreementTerms) -> AgreementTerms {
    let at = |name: &str| format!("{field}.{name}");
    let fee = table.fee_percent.as_ref();
    AgreementTerms {
        settlement_price: base.settlement_price,
        fee_basis_points: fee.map_or(base.fee_basis_points, |fee| values.percent(&at("fee_percent"), fee, 0..=10_000)),
        fee_payer: table.fee_payer.as_ref().map_or(base.fee_payer, |payer| values.party(&at("fee_payer"), payer)),
        notice_days: values.count(&at("notice_days"), table.notice_days.as_ref(), 0..=365, base.notice_days),
        undo_s: values.count(&at("undo_minutes"), table.undo_minutes.as_ref(), 0..=43_200, base.undo_s / 60) * 60,
        renews_on_arrival: table.renews_on_arrival.unwrap_or(base.renews_on_arrival),
        exposure_limit: base.exposure_limit,
        reversal_needs_confirmation: table.reversal_needs_confirmation.unwrap_or(base.reversal_needs_confirmation),
        target_pays_spent: table.target_pays_spent.unwrap_or(base.target_pays_spent),
        grace_days: values.count(&at("grace_days"), table.grace_days.as_ref(), 0..=365, base.grace_days),
        dispute_days: values.count(&at("dispute_days"), table.dispute_days.as_ref(), 0..=365, base.dispute_days),
    }
}
