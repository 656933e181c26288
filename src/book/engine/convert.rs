//! A conversion: refused before anything moves; completed at once between two accounts kept here, else on its way.
//!
//! The order of the checks is the published order of refusals.

use super::account::{Account, EntryKind};
use super::world::{Halt, Now, Subject, Taken, World};
use super::{Effect, Priced, cross, own_account, take};
use crate::book::command::{
    Ask, Code, Command, ConversionRow, Convert, Direction, Hint, Outcome, Quoted, Request, Reversed, Status,
};
use crate::book::exposures::ExposureKey;
use crate::domain::catalogue::{Catalogue, PartnerStatus, Party};
use crate::domain::ids::{AccountId, ConversionId, Slug, TokenId};
use crate::domain::lots::{Lot, Parcel, arriving};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::quote::{self, Price, Unpriced};
use crate::domain::terms::Terms;
use crate::domain::usage::Way;
use std::sync::Arc;

/// The two accounts of a conversion and the tokens of their link.
pub(super) struct Sides {
    pub from: AccountId,
    pub to: AccountId,
    pub from_token: TokenId,
    pub to_token: TokenId,
    pub pulled: bool,
}

pub fn convert(
    world: &mut World,
    catalogue: &Catalogue,
    priced: &mut Priced,
    request: &Request,
    ask: &Convert,
) -> Result<Effect, Halt> {
    let own = own_account(world, request, ask.who)?;
    let direction = direction(request, ask);
    if let Ask::Quoted(quoted) = &ask.ask {
        check_quote(world, own, &ask.direction, &direction, quoted)?;
    }
    check_partners(catalogue, &direction)?;
    let sides = find_sides(world, own, ask)?;
    let (terms, price) = match &ask.ask {
        Ask::Quoted(quoted) => quoted_price(quoted)?,
        Ask::Now { want, floor } => {
            let tier = &world.account(sides.from)?.tier;
            let terms = priced.terms(catalogue, &direction, tier, world.now.at).ok_or(Code::NoRate)?;
            // Before minimum and maximum, as the order of refusals wants it.
            if floor.is_some_and(|floor| quote::total_wished(&terms, *want).is_some_and(|total| total < floor)) {
                return Err(Code::RateWorseThanAsked.into());
            }
            let price = quote::price(&terms, *want).map_err(unpriced)?;
            (terms, price)
        }
    };
    check_points(world, catalogue, &sides, &price)?;
    let exposed = exposed(&terms, &price).ok_or(Code::ExposureExceeded)?;
    check_exposures(world, catalogue, &exposed)?;
    if !is_hosted(catalogue, &direction.0) || !is_hosted(catalogue, &direction.1) {
        return cross::accept(world, catalogue, request, &sides, (terms, price), &exposed);
    }
    let row = post(world, catalogue, request, &sides, terms, price)?;
    for (key, by) in &exposed {
        world.expose(key, *by, by.get() > 0 && is_capped(catalogue, key));
    }
    use_quote(world, request, row.id, row.from_account);
    Ok((Outcome::Conversion(row.clone()), Subject::Conversion(row.id), Some(row.from_account)))
}

/// A quote is used once, whichever way its conversion goes.
pub(super) fn use_quote(world: &mut World, request: &Request, id: ConversionId, account: AccountId) {
    if let Command::Convert(Convert { ask: Ask::Quoted(quoted), .. }) = &request.command {
        let subject = Subject::Conversion(id);
        let used = Taken { subject, account: Some(account), fingerprint: None, refusal: None };
        take(world, quoted.hash, used);
    }
}

/// Whether the partner's accounts are kept here.
pub(super) fn is_hosted(catalogue: &Catalogue, partner: &Slug) -> bool {
    catalogue.partners.get(partner).is_none_or(|partner| partner.hosted)
}

fn direction(request: &Request, ask: &Convert) -> (Slug, Slug) {
    match &ask.direction {
        Direction::To(partner) => (request.caller.clone(), partner.clone()),
        Direction::From(partner) => (partner.clone(), request.caller.clone()),
    }
}

/// Whether the quote is unused, made for this membership in this direction, and still good.
fn check_quote(
    world: &World,
    own: AccountId,
    way: &Direction,
    (from, to): &(Slug, Slug),
    quoted: &Quoted,
) -> Result<(), Halt> {
    if let Some(used) = world.taken.get(&quoted.hash) {
        return Err(Halt::Refuse(Code::QuoteUsed, Hint::First { id: used.subject.text() }));
    }
    let named = match way {
        Direction::To(_) => quoted.from_account,
        Direction::From(_) => quoted.to_account,
    };
    if own != named || (&quoted.terms.from, &quoted.terms.to) != (from, to) {
        return Err(Code::QuoteInvalid.into());
    }
    if quoted.expires_at <= world.now.at {
        return Err(Code::QuoteExpired.into());
    }
    Ok(())
}

/// Whether new conversions may leave `from` and arrive at `to`: a leaving partner takes none in, and sends until it left.
pub fn check_partners(catalogue: &Catalogue, (from, to): &(Slug, Slug)) -> Result<(), Halt> {
    let status = |slug| catalogue.partners.get(slug).map(|partner| partner.status);
    match (status(from), status(to)) {
        (None, _) | (_, None) => Err(Code::NoRate.into()),
        (Some(PartnerStatus::Active | PartnerStatus::Leaving), Some(PartnerStatus::Active)) => Ok(()),
        (Some(_), Some(_)) => Err(Code::PartnerSuspended.into()),
    }
}

/// Both memberships and their link, each refused with its own code.
fn find_sides(world: &World, own: AccountId, ask: &Convert) -> Result<Sides, Halt> {
    let own = world.account(own)?;
    let (partner, pulled) = match &ask.direction {
        Direction::To(partner) => (partner, false),
        Direction::From(partner) => (partner, true),
    };
    let Some(link) = own.link_to(partner) else {
        check_statuses(&[own])?;
        return Err(Code::MemberNotLinked.into());
    };
    let peer = world.account(link.account)?;
    check_statuses(&[own, peer])?;
    // A quote is for exactly the pair it names: a link made since to another membership is not that pair's.
    if let Ask::Quoted(quoted) = &ask.ask
        && ![quoted.from_account, quoted.to_account].contains(&peer.id)
    {
        return Err(Code::MemberNotLinked.into());
    }
    if link.opens_at > world.now.at {
        return Err(Code::LinkCoolingOff.into());
    }
    let (from, to, from_token, to_token) = if pulled {
        (peer, own, link.peer_token, link.own_token)
    } else {
        (own, peer, link.own_token, link.peer_token)
    };
    // Spending the other brand's points takes the member's consent, given at that brand.
    if pulled && !peer.links.iter().any(|theirs| theirs.link == link.link && theirs.pull) {
        return Err(Code::MemberNotLinked.into());
    }
    Ok(Sides { from: from.id, to: to.id, from_token, to_token, pulled })
}

/// Closed or frozen memberships take part in nothing; closed is said before frozen, whichever side it is.
pub fn check_statuses(accounts: &[&Account]) -> Result<(), Halt> {
    for (status, code) in [(Status::Closed, Code::MembershipClosed), (Status::Frozen, Code::MembershipFrozen)] {
        if accounts.iter().any(|account| account.status == status) {
            return Err(code.into());
        }
    }
    Ok(())
}

fn quoted_price(quoted: &Quoted) -> Result<(Arc<Terms>, Price), Halt> {
    let fee = quoted.terms.fee(quoted.credit).ok_or(Code::QuoteInvalid)?;
    let price = Price {
        debit: quoted.debit,
        remainder: Points::ZERO,
        credit: quoted.credit,
        bonuses: quoted.bonuses.clone(),
        fee,
    };
    Ok((quoted.terms.clone(), price))
}

/// The refusal a wish that cannot be priced gets.
pub fn unpriced(why: Unpriced) -> Halt {
    match why {
        Unpriced::BelowMinimum => Code::BelowMinimum.into(),
        Unpriced::AboveMaximum => Code::AboveMaximum.into(),
        Unpriced::NotAMultiple { below, above } => Halt::Refuse(Code::NotAMultiple, Hint::Nearest { below, above }),
    }
}

/// Owed points, balance and member limits, in the published order.
fn check_points(world: &World, catalogue: &Catalogue, sides: &Sides, price: &Price) -> Result<(), Halt> {
    let Now { day, .. } = world.now;
    let (from, to) = (world.account(sides.from)?, world.account(sides.to)?);
    if !from.owed.is_zero() || !to.owed.is_zero() {
        return Err(Code::PointsOwed.into());
    }
    // What a brand keeps itself it judges itself, when it is asked to hold.
    let usable = from.lots.usable(day);
    if is_hosted(catalogue, &from.partner) && usable < price.debit {
        return Err(Halt::Refuse(Code::InsufficientPoints, Hint::Left { points: usable.get() }));
    }
    let limits = |account: &Account| catalogue.partners.get(&account.partner).map(|p| p.limits).unwrap_or_default();
    if let Some(left) = from.usage.on(day).left(&limits(from), Way::Out)
        && left < price.debit
    {
        return Err(Halt::Refuse(Code::LimitExceeded, Hint::Left { points: left.get() }));
    }
    let arriving = price.total_credit();
    let room = to.balance.plus(arriving).is_some();
    if !room || to.usage.on(day).left(&limits(to), Way::In).is_some_and(|left| left < arriving) {
        return Err(Code::LimitExceeded.into());
    }
    Ok(())
}

/// How each exposure moves (rule 10): pair gross, then the signed nets of both partners. `None` on overflow.
pub fn exposed(terms: &Terms, price: &Price) -> Option<[(ExposureKey, Millionths); 3]> {
    let base = terms.settlement_price.times(price.credit)?;
    let (mut pair, mut from, mut to) = (base, base, base.negated());
    for (campaign, points) in terms.campaigns.iter().zip(&price.bonuses) {
        let bonus = terms.settlement_price.times(*points)?;
        match campaign.funder {
            Party::From => {
                pair = pair.plus(bonus)?;
                from = from.plus(bonus)?;
                to = to.minus(bonus)?;
            }
            Party::Operator => to = to.minus(bonus)?,
            // Funded by the target itself: a memo line of 0.
            Party::To => {}
        }
    }
    match terms.fee_payer {
        Party::From => from = from.plus(price.fee)?,
        Party::To => to = to.plus(price.fee)?,
        Party::Operator => {}
    }
    Some([
        (ExposureKey::Pair(terms.from.clone(), terms.to.clone()), pair),
        (ExposureKey::Partner(terms.from.clone()), from),
        (ExposureKey::Partner(terms.to.clone()), to),
    ])
}

pub(super) fn check_exposures(
    world: &World,
    catalogue: &Catalogue,
    exposed: &[(ExposureKey, Millionths)],
) -> Result<(), Halt> {
    for (key, by) in exposed {
        let row = world.exposure(key).ok_or(Code::NoRate)?;
        let after = row.counted().and_then(|counted| counted.plus(*by)).ok_or(Code::ExposureExceeded)?;
        if is_capped(catalogue, key) && by.get() > 0 && row.cap.is_some_and(|cap| after > cap) {
            return Err(Code::ExposureExceeded.into());
        }
    }
    Ok(())
}

/// In a bilateral alliance limits are per pair only.
pub(super) fn is_capped(catalogue: &Catalogue, key: &ExposureKey) -> bool {
    !(catalogue.alliance.bilateral && matches!(key, ExposureKey::Partner(_)))
}

/// Moves the points. Everything has been checked: nothing below may refuse.
fn post(
    world: &mut World,
    catalogue: &Catalogue,
    request: &Request,
    sides: &Sides,
    terms: Arc<Terms>,
    price: Price,
) -> Result<Arc<ConversionRow>, Halt> {
    let Now { at, day } = world.now;
    let id = ConversionId(request.fresh);
    let (batch_no, window) = (world.batch_no, world.window);
    let rule = arrival_rule(world, catalogue, sides.to)?;

    let from = world.change(sides.from)?;
    let lots_out = from.lots.take(price.debit, day).ok_or(Code::InsufficientPoints)?;
    from.usage = from.usage.on(day);
    from.usage.count(Way::Out, price.debit);
    let out = from.lower(EntryKind::ConvertedOut, price.debit, Some(id.0));
    let from_entry_no = out.entry_no;

    let mut lots_in = arriving(&lots_out, terms.ratio, rule, terms.renews_on_arrival).ok_or(Code::AboveMaximum)?;
    let bonuses = price.bonuses.iter().filter(|points| !points.is_zero());
    lots_in.extend(bonuses.map(|points| Parcel { points: *points, expires: rule }));

    let to = world.change(sides.to)?;
    to.usage = to.usage.on(day);
    to.usage.count(Way::In, price.total_credit());
    for parcel in &lots_in {
        to.lots.add(Lot { points: parcel.points, expires: parcel.expires, available_on: None });
    }
    let base = to.raise(EntryKind::ConvertedIn, price.credit, Some(id.0));
    let to_entry_no = base.entry_no;
    let mut entries = vec![out, base];
    for points in price.bonuses.iter().filter(|points| !points.is_zero()) {
        entries.push(to.raise(EntryKind::Bonus, *points, Some(id.0)));
    }
    world.writes.entries.extend(entries);
    let ordinal = world.next_ordinal();
    let row = Arc::new(ConversionRow {
        id,
        from_account: sides.from,
        to_account: sides.to,
        batch_no,
        ordinal,
        window,
        debit: price.debit,
        credit: price.credit,
        bonuses: price.bonuses,
        fee: price.fee,
        lots_out,
        lots_in,
        from_entry_no,
        to_entry_no,
        from_token: sides.from_token,
        to_token: sides.to_token,
        reference: request.reference.as_ref().map(|reference| reference.text.clone()),
        quote: quote_of(request),
        pulled: sides.pulled,
        at,
        day,
        accepted: None,
        reversed: Reversed::default(),
        terms,
    });
    world.writes.conversions.push(row.clone());
    world.conversions.insert(id, row.clone());
    Ok(row)
}

/// When points that arrive today at this account end by its programme's rule.
pub fn arrival_rule(
    world: &World,
    catalogue: &Catalogue,
    id: AccountId,
) -> Result<crate::domain::expiry::Expiry, Halt> {
    let account = world.account(id)?;
    let partner = catalogue.partners.get(&account.partner).ok_or(Code::NoRate)?;
    Ok(partner.programme.expiry(&account.tier, world.now.day))
}

pub(super) fn quote_of(request: &Request) -> Option<crate::domain::ids::QuoteId> {
    match &request.command {
        Command::Convert(Convert { ask: Ask::Quoted(quoted), .. }) => Some(quoted.quote),
        _ => None,
    }
}
