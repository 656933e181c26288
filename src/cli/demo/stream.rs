//! Life in the demo: a few dozen members at each brand, with points and links, and a gentle stream of conversions
//! between all the brands, for as long as somebody watches.
//!
//! Everything goes through the partner API, each call under the certificate of the brand that makes it. Who the members
//! are and what they do comes from a seeded generator, so that every demo begins alike; nobody here is anybody. Members of
//! brands that keep their own ledgers have their points there; a conversion to or from them is followed until it has arrived.
//! `told` is the line that says how it goes.

mod told;

use super::chance::Chance;
use super::client::{Client, Error, Reply};
use super::remotes::Remote;
use crate::cli::sim::control::Control;
use crate::clock;
use crate::domain::ids::Slug;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use told::Told;
use uuid::Uuid;

/// People of the demo; each is a member of three brands, so 36 at every brand, and 12 for every pair of brands.
const PEOPLE: usize = 84;
/// Any two of seven brands meet in exactly one of the seven triples that these steps make.
const TRIPLE: [usize; 3] = [0, 1, 3];
/// Last day of what members begin with where the brand keeps its own ledger; elsewhere the programme's rule says.
const OPENING_ENDS: &str = "2031-12-31";
const BETWEEN: Duration = Duration::from_millis(300);
const AFTER_SILENCE: Duration = Duration::from_secs(1);
/// Of a member's wish, in steps of 10: every rate of the demo is exact in these.
const WISH_MAX: u64 = 6;
const EARNED: i64 = 120;
/// Of the conversions on their way, how many are asked after between two new ones.
const FOLLOWED: usize = 4;

/// A brand of the demo alliance, its members' references and the rungs of its ladder that are handed out.
pub(super) struct Brand {
    pub slug: &'static str,
    pub name: &'static str,
    pub letter: char,
    pub tiers: [&'static str; 3],
}

const LEVELS: [&str; 3] = ["l1", "l2", "l3"];
const METALS: [&str; 3] = ["ordinary", "silver", "gold"];

pub(super) const BRANDS: [Brand; 7] = [
    Brand { slug: "lumen", name: "Lumen 流明", letter: 'L', tiers: ["ordinary", "silver", "diamond"] },
    Brand { slug: "sprout", name: "Sprout 小芽", letter: 'S', tiers: LEVELS },
    Brand { slug: "velvet", name: "Velvet 丝绒", letter: 'V', tiers: LEVELS },
    Brand { slug: "nest", name: "Nest 安巢", letter: 'N', tiers: LEVELS },
    Brand { slug: "harvest", name: "Harvest 丰禾", letter: 'H', tiers: LEVELS },
    Brand { slug: "cinenova", name: "CineNova 星幕", letter: 'C', tiers: METALS },
    Brand { slug: "kettle", name: "Kettle 壶语", letter: 'K', tiers: METALS },
];

/// The clients of the seven brands, and the ledgers of those that keep their own.
pub struct Cast {
    clients: Vec<Client>,
    controls: BTreeMap<usize, Control>,
}

/// One member's wish to convert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    person: usize,
    from: usize,
    to: usize,
    points: i64,
}

/// A conversion that was accepted and has not arrived yet.
struct Underway {
    wish: Wish,
    id: String,
    since: Instant,
}

/// Registers the members, gives them points and links them; again on the same database, it finds them there.
pub async fn seed(api: &str, pki: &Path, remotes: &[Remote]) -> Result<Cast, Error> {
    let open = |brand: &Brand| Client::open(api, pki, brand.slug);
    let own = |number: usize| remotes.iter().find(|remote| remote.slug.as_str() == BRANDS[number].slug);
    let controls = (0..BRANDS.len()).filter_map(|number| Some((number, own(number)?.control.clone()))).collect();
    let cast = Cast { clients: BRANDS.iter().map(open).collect::<Result<_, _>>()?, controls };
    let bar = bar(BRANDS.len() + PEOPLE);
    for (number, brand) in BRANDS.iter().enumerate() {
        bar.set_message(brand.name);
        cast.register(number).await?;
        bar.inc(1);
    }
    bar.set_message("links 账号关联");
    for person in 0..PEOPLE {
        cast.link(person).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(cast)
}

/// The members of a brand that keeps its own ledger, with their points, as `hanse sim` takes them in.
pub fn members_csv(slug: &Slug) -> String {
    let mut text = String::from("member_ref,tier,status,lot1_points,lot1_expires_on,lot2_points,lot2_expires_on\n");
    let Some(brand) = BRANDS.iter().position(|brand| brand.slug == slug.as_str()) else { return text };
    for person in (0..PEOPLE).filter(|person| brands_of(*person).contains(&brand)) {
        let (member, tier) = (reference(person, brand), BRANDS[brand].tiers[rung(person)]);
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{member},{tier},active,{},{OPENING_ENDS},,", opening_points(person, brand));
    }
    text
}

/// Plays conversions, a few a second, until it is dropped; prints one line that lives.
pub async fn play(cast: &Cast) {
    let line = spinner();
    let run = Uuid::new_v4().simple().to_string();
    let mut chance = Chance::new(0x0048_616e_7365);
    let mut told = Told::default();
    let mut underway = VecDeque::new();
    let mut beat = tokio::time::interval(BETWEEN);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut number = 0_u64;
    loop {
        beat.tick().await;
        number += 1;
        let wish = Wish::draw(&mut chance);
        let played = match cast.convert(&wish, &format!("stream-{}-{number}", &run[..8])).await {
            Ok(reply) => {
                if told.count(&wish, &reply)
                    && let Some(id) = reply.text("/conversion_id")
                {
                    underway.push_back(Underway { wish, id: id.to_owned(), since: clock::instant() });
                }
                cast.follow(&mut underway, &mut told).await
            }
            Err(silent) => Err(silent),
        };
        told.underway = underway.len();
        if let Err(silent) = played {
            line.set_message(format!("{} · {silent}", told.line()));
            tokio::time::sleep(AFTER_SILENCE).await;
            continue;
        }
        line.set_message(told.line());
    }
}

impl Cast {
    async fn register(&self, brand: usize) -> Result<(), Error> {
        if self.controls.contains_key(&brand) {
            // Its own process has brought them in.
            return Ok(());
        }
        let here = || (0..PEOPLE).filter(|person| brands_of(*person).contains(&brand));
        let register = |person| {
            let tier = BRANDS[brand].tiers[rung(person)];
            json!({"member_ref": reference(person, brand), "tier": tier, "status": "active"})
        };
        let opening = |person| {
            let member = reference(person, brand);
            json!({
                "idempotency_key": format!("opening-{member}"), "external_reference": format!("opening-{member}"),
                "member_ref": member, "points": opening_points(person, brand), "kind": "opening",
                "reason": "opening balance 期初余额",
            })
        };
        let items: Vec<Value> = here().map(register).collect();
        self.clients[brand].post("/v1/memberships/batch", &json!({ "items": items })).await?;
        let items: Vec<Value> = here().map(opening).collect();
        self.clients[brand].post("/v1/credits/batch", &json!({ "items": items })).await?;
        Ok(())
    }

    /// Links a person's three memberships, pair by pair, unless they are.
    async fn link(&self, person: usize) -> Result<(), Error> {
        let brands = brands_of(person);
        for (at, from) in brands.iter().enumerate() {
            let known = self.clients[*from].get(&address(person, *from, "")).await?;
            let linked = |to: usize| {
                let links = known.at("/links").as_array().map(Vec::as_slice).unwrap_or_default();
                links.iter().any(|link| link["partner"] == BRANDS[to].slug)
            };
            for to in brands.iter().skip(at + 1).filter(|to| !linked(**to)) {
                self.link_pair(person, *from, *to).await?;
            }
        }
        Ok(())
    }

    async fn link_pair(&self, person: usize, from: usize, to: usize) -> Result<(), Error> {
        let (own, other) = (reference(person, from), reference(person, to));
        link((&self.clients[from], &own), (&self.clients[to], &other)).await
    }

    /// Asks after some that are on their way: what has arrived or come to nothing is told, the others wait on.
    async fn follow(&self, underway: &mut VecDeque<Underway>, told: &mut Told) -> Result<(), Error> {
        for _ in 0..underway.len().min(FOLLOWED) {
            let Some(one) = underway.pop_front() else { break };
            let reply = self.clients[one.wish.from].get(&format!("/v1/conversions/{}", one.id)).await;
            match reply.as_ref().map(|reply| reply.text("/state")) {
                Ok(Some("completed")) => told.arrived(&one, reply.as_ref().ok()),
                Ok(Some("released")) => {
                    told.released += 1;
                    self.earn(&one.wish).await;
                }
                _ => underway.push_back(one),
            }
            reply?;
        }
        Ok(())
    }

    /// A purchase at a brand that keeps its own ledger, so that the next wish can be met.
    async fn earn(&self, wish: &Wish) {
        if let Some(control) = self.controls.get(&wish.from)
            && let Err(cause) = control.earn(&reference(wish.person, wish.from), EARNED).await
        {
            tracing::warn!(error = %cause, "a purchase could not be made at a partner's own ledger");
        }
    }

    /// Converts; who has too few points makes a purchase first. A brand that keeps its own ledger finds that out later.
    async fn convert(&self, wish: &Wish, name: &str) -> Result<Reply, Error> {
        let body = |name: &str| {
            json!({
                "member_ref": reference(wish.person, wish.from), "to": BRANDS[wish.to].slug, "points": wish.points,
                "external_reference": name,
            })
        };
        let brand = &self.clients[wish.from];
        let reply = brand.post_once("/v1/conversions", name, &body(name)).await?;
        if reply.code() != Some("insufficient_points") {
            return Ok(reply);
        }
        let earned = format!("{name}-earned");
        let purchase = json!({"points": EARNED, "reason": "purchase 购物", "external_reference": earned});
        brand.post_once(&address(wish.person, wish.from, "/credits"), &earned, &purchase).await?;
        // A refusal is final for its key: a new attempt takes a new one.
        let again = format!("{name}-again");
        brand.post_once("/v1/conversions", &again, &body(&again)).await
    }
}

impl Wish {
    fn draw(chance: &mut Chance) -> Wish {
        let person = chance.below(PEOPLE);
        let brands = brands_of(person);
        let from = chance.below(brands.len());
        let to = (from + 1 + chance.below(brands.len() - 1)) % brands.len();
        // At most WISH_MAX tens.
        let points = 10 * i64::try_from(1 + chance.next() % WISH_MAX).unwrap_or(1);
        Wish { person, from: brands[from], to: brands[to], points }
    }
}

/// Links a member with its membership at another brand, as it would by carrying a code there.
pub(super) async fn link(from: (&Client, &str), to: (&Client, &str)) -> Result<(), Error> {
    let consent = json!({"version": "2026-01", "purpose": "exchange of points 积分转换", "method": "demo"});
    let asked = json!({"member_ref": from.1, "to": to.0.name(), "consent": consent});
    let reply = from.0.post("/v1/links", &asked).await?;
    if let Some(code) = reply.text("/code") {
        let accepted = json!({"code": code, "member_ref": to.1, "consent": consent});
        to.0.post("/v1/links/accept", &accepted).await?;
    }
    Ok(())
}

/// The three brands of a person.
pub(super) fn brands_of(person: usize) -> [usize; 3] {
    TRIPLE.map(|step| (person + step) % BRANDS.len())
}

/// 5 in 100 on the top rung, 30 in the middle, the rest below.
pub(super) fn rung(person: usize) -> usize {
    match person % 20 {
        0 => 2,
        1..=6 => 1,
        _ => 0,
    }
}

fn reference(person: usize, brand: usize) -> String {
    format!("{}-{}", BRANDS[brand].letter, 1001 + person)
}

fn address(person: usize, brand: usize, below: &str) -> String {
    format!("/v1/memberships/{}{below}", reference(person, brand))
}

/// 200 to 1,990 points, the same at every start.
fn opening_points(person: usize, brand: usize) -> i64 {
    let mut chance = Chance::new(u64::try_from(person * BRANDS.len() + brand).unwrap_or(0));
    200 + 10 * i64::try_from(chance.next() % 180).unwrap_or(0)
}

fn bar(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(0));
    bar.set_style(style("  members {bar:32} {pos}/{len}  {msg}"));
    bar
}

fn spinner() -> ProgressBar {
    let line = ProgressBar::new_spinner();
    line.set_style(style("  {spinner} {msg}"));
    line.enable_steady_tick(Duration::from_millis(120));
    line
}

pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partner::manifest;
    use std::collections::BTreeMap;

    #[test]
    fn every_pair_of_brands_has_a_dozen_people_and_every_brand_three() {
        let mut pairs = BTreeMap::new();
        let mut brands = BTreeMap::new();
        for person in 0..PEOPLE {
            let of = brands_of(person);
            of.iter().for_each(|brand| *brands.entry(*brand).or_insert(0) += 1);
            for (at, a) in of.iter().enumerate() {
                of[at + 1..].iter().for_each(|b| *pairs.entry((*a.min(b), *a.max(b))).or_insert(0) += 1);
            }
        }
        assert_eq!(brands.len(), 7);
        assert!(brands.values().all(|people| *people == 36));
        assert_eq!(pairs.len(), 21);
        assert!(pairs.values().all(|people| *people == 12));
    }

    #[test]
    fn the_cast_fits_the_manifests() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("partners/lumen");
        let plan = manifest::read(&folder).expect("the demo's manifests are sound");
        assert_eq!(plan.partners.len(), BRANDS.len());
        for brand in &BRANDS {
            let partner = plan.partners.get(&brand.slug.parse().expect("a slug")).expect("a brand of the alliance");
            let ladder: Vec<&str> = partner.partner.programme.tiers.iter().map(|tier| tier.code.as_str()).collect();
            assert!(brand.tiers.iter().all(|tier| ladder.contains(tier)), "{}: {ladder:?}", brand.slug);
        }
    }

    #[test]
    fn a_wish_goes_from_one_of_ones_brands_to_another() {
        let mut chance = Chance::new(7);
        for _ in 0..1_000 {
            let wish = Wish::draw(&mut chance);
            let brands = brands_of(wish.person);
            assert!(wish.from != wish.to && brands.contains(&wish.from) && brands.contains(&wish.to));
            assert!((10..=60).contains(&wish.points) && wish.points % 10 == 0);
        }
        assert_eq!(Wish::draw(&mut Chance::new(7)), Wish::draw(&mut Chance::new(7)));
    }
}
