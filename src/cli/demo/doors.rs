//! The demo's doors: one address for each kind of person, which signs them in as they would by hand and leads to their page.
//!
//! They are of the demo alone, and open to this machine alone. Each is a real sign-in: the person gets a new password and a
//! new secret of codes, and both are used at once.

use crate::clock;
use crate::domain::ids::Slug;
use crate::domain::staff::{Login, Password, Role, Secret};
use crate::domain::text::Text;
use crate::service::benefits::Vouchers;
use crate::service::exchange::Exchange;
use crate::service::member_sessions::{self, Scope, Wanted};
use crate::service::staff::log::Actor;
use crate::service::staff::{self, Attempt, Enrolled, New, Session, Staffing, people};
use crate::signing::totp;
use crate::store::memberships::{self, Filter};
use crate::web::staff::signed_in;
use actix_web::http::header;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use diesel::PgConnection;
use uuid::Uuid;

/// Whose members look at their page.
const BRAND: &str = "lumen";
/// Members among whom the one with the most links is taken.
const LOOKED_AT: i64 = 100;

/// Somebody who works for a brand, or for the operator.
struct Door {
    name: &'static str,
    login: &'static str,
    partner: Option<&'static str>,
    role: Role,
    to: &'static str,
    who: &'static str,
}

const DOORS: &[Door] = &[
    Door {
        name: "partner",
        login: "lumen-admin",
        partner: Some("lumen"),
        role: Role::Admin,
        to: "/console",
        who: "Lumen's administrator 流明管理员",
    },
    Door {
        name: "finance",
        login: "lumen-finance",
        partner: Some("lumen"),
        role: Role::Finance,
        to: "/console",
        who: "Lumen's finance 流明财务",
    },
    Door {
        name: "clerk",
        login: "cinenova-till",
        partner: Some("cinenova"),
        role: Role::Clerk,
        to: "/console",
        who: "a clerk at Cinenova's till 影院店员",
    },
    Door {
        name: "operator",
        login: "ada",
        partner: None,
        role: Role::Admin,
        to: "/console",
        who: "the alliance's operator 联盟运营",
    },
];

/// Address and person of each door.
pub fn all(public: &str) -> Vec<(String, &'static str)> {
    let member = (format!("{public}/demo/member"), "a member of Lumen's 流明会员");
    let staff = DOORS.iter().map(|door| (format!("{public}/demo/{}", door.name), door.who));
    std::iter::once(member).chain(staff).collect()
}

/// Registers the doors.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/demo/member").route(web::get().to(member)))
        .service(web::resource("/demo/{name}").route(web::get().to(employee)));
}

fn is_here(request: &HttpRequest) -> bool {
    request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

fn no(why: impl std::fmt::Display) -> HttpResponse {
    HttpResponse::NotFound().content_type("text/html; charset=utf-8").body(format!("<!doctype html><p>{why}"))
}

async fn member(exchange: Data<Exchange>, request: HttpRequest) -> HttpResponse {
    if !is_here(&request) {
        return no("There is no such page.");
    }
    match open(&exchange).await {
        Ok(address) => HttpResponse::SeeOther().insert_header((header::LOCATION, address)).finish(),
        Err(cause) => no(format!("No member is there yet ({cause}). Try again in a moment.")),
    }
}

async fn open(exchange: &Exchange) -> Result<String, crate::service::exchange::Error> {
    use crate::service::exchange::Error;
    let brand: Slug = BRAND.parse().map_err(|_| Error::NotFound)?;
    let of = Filter { partner: Some(brand.clone()), status: Some("active"), ..Filter::default() };
    let linked = move |conn: &mut PgConnection| {
        let members = memberships::list(conn, &of, LOOKED_AT)?;
        let mut best: Option<(usize, String)> = None;
        for member in members {
            let links = memberships::links_of(conn, member.account, LOOKED_AT)?.len();
            if best.as_ref().is_none_or(|(most, _)| links > *most) {
                best = Some((links, member.member_ref));
            }
        }
        Ok::<_, Error>(best.ok_or(Error::NotFound)?.1)
    };
    let member_ref = exchange.database.run(linked).await?;
    let member_ref = Text::new(member_ref).map_err(|_| Error::NotFound)?;
    let scopes = Scope::ALL.iter().map(|(scope, _)| *scope).collect();
    let offered = member_sessions::offer(exchange, &brand, Wanted { member_ref, return_url: None, scopes }).await?;
    Ok(format!("/member/open/{}", offered.secret.as_str()))
}

async fn employee(
    vouchers: Data<Vouchers>,
    staffing: Data<Staffing>,
    request: HttpRequest,
    name: Path<String>,
) -> HttpResponse {
    let Some(door) = DOORS.iter().find(|door| door.name == *name).filter(|_| is_here(&request)) else {
        return no("There is no such page.");
    };
    match sign_in(&vouchers, &staffing, door).await {
        Ok(session) => signed_in(&session, door.to),
        Err(cause) => no(cause),
    }
}

/// Gives the person a password and a secret of codes, and signs in with both.
async fn sign_in(vouchers: &Vouchers, staffing: &Staffing, door: &'static Door) -> Result<Session, staff::Error> {
    // A door of ours leads somewhere.
    let unfit = || staff::Error::NotFound;
    let login: Login = door.login.parse().map_err(|_| unfit())?;
    let chosen = format!("{}-{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let password = || Password::choose(chosen.clone(), &login).map_err(|_| unfit());
    let new = New {
        login: login.clone(),
        partner: door.partner.and_then(|slug| slug.parse().ok()),
        role: door.role,
        password: password()?,
    };
    let (again, sealing, known) = (password()?, vouchers.sealing.clone(), login.clone());
    let enrol = move |conn: &mut PgConnection| {
        let actor = Actor::COMMAND_LINE;
        match people::add(conn, &sealing, &actor, &new) {
            Err(staff::Error::Taken) => people::reset(conn, &sealing, &actor, &known, &again),
            other => other,
        }
    };
    let Enrolled { uri, .. } = vouchers.database.run(enrol).await?;
    let secret = secret_of(uri.expose()).ok_or_else(unfit)?;
    let code = totp::code(&secret, totp::step(clock::now().timestamp()));
    let secret = |text: &str| Secret::from(text.to_owned());
    staffing.sign_in(Attempt { login: secret(door.login), password: secret(&chosen), totp: secret(&code) }).await
}

/// The secret of an `otpauth://` link (RFC 4648 §6).
fn secret_of(uri: &str) -> Option<Vec<u8>> {
    let text = uri.split("secret=").nth(1)?.split('&').next()?;
    let (mut bytes, mut bits, mut filled) = (Vec::new(), 0_u32, 0);
    for sign in text.bytes() {
        let value = match sign {
            b'A'..=b'Z' => sign - b'A',
            b'2'..=b'7' => sign - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(value)) & 0xfff;
        filled += 5;
        if filled >= 8 {
            filled -= 8;
            bytes.push(u8::try_from(bits >> filled & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_out_of_its_link() {
        let secret = totp::generate().expect("randomness");
        let uri = totp::uri("Hanse", "ada", &secret);
        assert_eq!(secret_of(&uri).as_deref(), Some(&secret[..]));
        assert_eq!(secret_of("otpauth://totp/x?secret=1"), None);
    }

    #[test]
    fn every_door_has_a_name_of_its_own() {
        let all = all("http://127.0.0.1:8080");
        let addresses: std::collections::BTreeSet<_> = all.iter().map(|(address, _)| address).collect();
        assert_eq!(addresses.len(), DOORS.len() + 1);
    }
}
