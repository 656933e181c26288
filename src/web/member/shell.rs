//! What is round every page of a member: its brand, where else to go, the other language, the way back.

use super::session::Member;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use crate::service::exchange::Exchange;
use crate::service::member_sessions::Scope;
use crate::web::lang::Lang;
use crate::web::{assets, page};
use actix_web::HttpRequest;
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// Which of the pages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Points,
    History,
    Benefits,
    Vouchers,
    Links,
}

pub struct Shell {
    pub lang: Lang,
    pub place: Place,
    pub brand: String,
    pub form_token: String,
    pub return_url: Option<String>,
    /// This page in the other language.
    pub other: String,
    pub style: &'static str,
    pub script: &'static str,
    pub may_convert: bool,
    pub may_claim: bool,
    pub may_consent: bool,
    pub may_pass: bool,
    catalogue: Arc<Catalogue>,
}

impl Shell {
    pub fn new(exchange: &Exchange, member: &Member, request: &HttpRequest, place: Place) -> Shell {
        let catalogue = exchange.catalogue.load_full();
        let may = |scope| member.session.may(scope);
        Shell {
            lang: member.lang,
            place,
            brand: brand(&catalogue, member.lang, &member.session.brand),
            form_token: member.form_token(),
            return_url: member.session.return_url.clone(),
            other: page::in_language(request, member.lang.other()),
            style: assets::MEMBER_CSS.address(),
            script: assets::MEMBER_JS.address(),
            may_convert: may(Scope::Convert),
            may_claim: may(Scope::Claim),
            may_consent: may(Scope::Consent),
            may_pass: may(Scope::Pass),
            catalogue,
        }
    }

    /// `aria-current` of the page one is on.
    pub fn current(&self, place: Place) -> &'static str {
        if self.place == place { "page" } else { "false" }
    }

    pub fn brand_of(&self, slug: &Slug) -> String {
        brand(&self.catalogue, self.lang, slug)
    }

    /// What a brand calls its points.
    pub fn points_of(&self, slug: &Slug) -> String {
        let partner = self.catalogue.partners.get(slug);
        partner.map_or_else(String::new, |partner| self.lang.name(&partner.programme.name).to_owned())
    }

    pub fn tier_of(&self, slug: &Slug, code: &str) -> String {
        let tier = self.catalogue.partners.get(slug).and_then(|partner| partner.programme.tier(code));
        tier.map_or_else(|| code.to_owned(), |tier| self.lang.name(&tier.name).to_owned())
    }

    pub fn instant(&self, at: DateTime<Utc>) -> String {
        self.lang.instant(at, self.catalogue.alliance.zone)
    }

    pub fn money(&self, amount: Millionths) -> String {
        let plain = amount.to_string();
        let short = plain.strip_suffix(".00").unwrap_or(&plain);
        match self.catalogue.alliance.currency.as_str() {
            "CNY" => format!("¥{short}"),
            other => self.lang.amount_of(other, short),
        }
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }
}

fn brand(catalogue: &Catalogue, lang: Lang, slug: &Slug) -> String {
    let partner = catalogue.partners.get(slug);
    partner.map_or_else(|| slug.to_string(), |partner| lang.name(&partner.name).to_owned())
}
