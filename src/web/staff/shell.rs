//! What is round every page of staff: whose console it is, where else to go, the other language, the way out.

use super::session::Staff;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use crate::domain::staff::Permission;
use crate::service::exchange::Exchange;
use crate::web::lang::Lang;
use crate::web::trouble::Trouble;
use crate::web::{assets, page};
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use chrono::{DateTime, NaiveDate, Utc};
use std::sync::Arc;

/// Which of the pages it is, in the order they are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Home,
    Figures,
    Windows,
    Disputes,
    Payments,
    Reconciliations,
    Liability,
    Till,
    Crossings,
    Conversions,
    Rates,
    Proposals,
    Benefits,
    Exposures,
    Webhooks,
    Keys,
    People,
    Log,
}

/// Each place: its address, and what one must be allowed to see there.
const PLACES: &[(Place, &str, Option<Permission>)] = &[
    (Place::Home, "/console", None),
    (Place::Figures, "/console/figures", Some(Permission::SeeFigures)),
    (Place::Windows, "/console/windows", Some(Permission::SeeSettlement)),
    (Place::Disputes, "/console/disputes", Some(Permission::SeeSettlement)),
    (Place::Payments, "/console/payments", Some(Permission::SeeSettlement)),
    (Place::Reconciliations, "/console/reconciliations", Some(Permission::SeeSettlement)),
    (Place::Liability, "/console/windows/liability", Some(Permission::SeeSettlement)),
    (Place::Till, "/till", Some(Permission::RedeemVouchers)),
    (Place::Crossings, "/console/crossings", Some(Permission::ResolveInDoubt)),
    (Place::Conversions, "/console/conversions", Some(Permission::SeeConversions)),
    (Place::Rates, "/console/rates", Some(Permission::SeeRates)),
    (Place::Proposals, "/console/proposals", Some(Permission::SeeRates)),
    (Place::Benefits, "/console/benefits", Some(Permission::SeeBenefits)),
    (Place::Exposures, "/console/exposures", Some(Permission::SeeSettlement)),
    (Place::Webhooks, "/console/webhooks", Some(Permission::SeeDeliveries)),
    (Place::Keys, "/console/keys", Some(Permission::SeeDeliveries)),
    (Place::People, "/console/people", Some(Permission::ManageStaff)),
    (Place::Log, "/console/log", Some(Permission::SeeAudit)),
];

/// What an operator has none of.
const PARTNERS: &[Place] = &[Place::Webhooks];

/// A way to another page.
pub struct Link {
    pub address: &'static str,
    pub text: &'static str,
    /// `aria-current`.
    pub current: &'static str,
}

pub struct Shell {
    pub lang: Lang,
    /// The brand, or the operator.
    pub house: String,
    pub login: String,
    pub role: &'static str,
    pub form_token: String,
    pub is_read_only: bool,
    /// This page in the other language; empty where asking for it anew would lose what it shows.
    pub other: String,
    pub style: &'static str,
    pub script: &'static str,
    pub places: Vec<Link>,
    catalogue: Arc<Catalogue>,
}

impl Shell {
    pub fn new(exchange: &Exchange, staff: &Staff, request: &HttpRequest, place: Place) -> Shell {
        let catalogue = exchange.catalogue.load_full();
        let lang = staff.lang;
        let house = match staff.signed.partner() {
            Some(slug) => brand(&catalogue, lang, slug),
            None => lang.name(&catalogue.alliance.name).to_owned(),
        };
        let is_partner = staff.signed.partner().is_some();
        let open = PLACES.iter().filter(|(place, _, _)| is_partner || !PARTNERS.contains(place));
        let open = open.filter(|(_, _, wants)| wants.is_none_or(|wants| staff.signed.may(wants)));
        let link = |(known, address, _): &(Place, &'static str, Option<Permission>)| Link {
            address,
            text: lang.place(*known),
            current: if *known == place { "page" } else { "false" },
        };
        Shell {
            lang,
            house,
            login: staff.signed.login.to_string(),
            role: lang.role(staff.signed.role),
            form_token: staff.signed.csrf.expose().to_owned(),
            is_read_only: staff.signed.is_read_only(),
            other: page::in_language(request, lang.other()),
            style: assets::STAFF_CSS.address(),
            script: assets::STAFF_JS.address(),
            places: open.map(link).collect(),
            catalogue,
        }
    }

    /// The same for what is shown once.
    pub fn once(self) -> Shell {
        Shell { other: String::new(), ..self }
    }

    pub fn brand_of(&self, slug: &Slug) -> String {
        brand(&self.catalogue, self.lang, slug)
    }

    pub fn instant(&self, at: DateTime<Utc>) -> String {
        self.lang.instant(at, self.catalogue.alliance.zone)
    }

    /// Money with its currency, as it is stored: nothing is rounded on a page.
    pub fn money(&self, amount: Millionths) -> String {
        format!("{} {}", self.catalogue.alliance.currency, amount)
    }

    pub fn day(&self, day: NaiveDate) -> String {
        self.lang.day(day)
    }

    /// A tier of a brand's ladder, by its name.
    pub fn tier_of(&self, slug: &Slug, code: &str) -> String {
        let tier = self.catalogue.partners.get(slug).and_then(|partner| partner.programme.tier(code));
        tier.map_or_else(|| code.to_owned(), |tier| self.lang.name(&tier.name).to_owned())
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }
}

fn brand(catalogue: &Catalogue, lang: Lang, slug: &Slug) -> String {
    let partner = catalogue.partners.get(slug);
    partner.map_or_else(|| slug.to_string(), |partner| lang.name(&partner.name).to_owned())
}

#[derive(Template)]
#[template(path = "staff/home.html")]
struct Home<'a> {
    shell: &'a Shell,
}

/// The first page: where one may go.
pub async fn home(exchange: Data<Exchange>, request: HttpRequest, staff: Staff) -> Result<HttpResponse, Trouble> {
    let shell = Shell::new(&exchange, &staff, &request, Place::Home);
    page::html(StatusCode::OK, &Home { shell: &shell })
}
