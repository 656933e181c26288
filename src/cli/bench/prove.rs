//! The proof of a closed window: what was posted in it comes to the same for every participant as its statement says, sort
//! by sort. It is worked out from conversions, what took them back and adjustments, never from lines; the database adds up,
//! so that millions take no more memory than a few.

use crate::book::store::rows;
use crate::cli::Error;
use crate::domain::catalogue::Party;
use crate::domain::money::Millionths;
use crate::domain::settlement::tally::Sort;
use crate::domain::terms::Terms;
use crate::service::settlement;
use crate::store::settlement::statements;
use crate::store::settlement::windows::Row;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use uuid::Uuid;

const OPERATOR: &str = "operator";

/// Lines, points and money of one sort, as the participant sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sum {
    pub lines: i64,
    pub points: i128,
    pub millionths: i128,
}

/// By participant, then by the sort's name in a statement.
pub type Sums = BTreeMap<String, BTreeMap<&'static str, Sum>>;

/// A published window's postings, and whether its statements say the same.
#[derive(Debug, serde::Serialize)]
pub struct Proof {
    pub conversions: i64,
    pub lines: i64,
    pub statements: usize,
    /// What was posted comes to this.
    pub participants: Sums,
    /// Whose statement says otherwise, in words.
    pub differs: Vec<String>,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let money = i64::try_from(self.millionths).map(Millionths::new);
        let money = money.map_or_else(|_| format!("{} millionths", self.millionths), |money| money.to_string());
        write!(f, "{} lines, {} points, {money}", self.lines, self.points)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (participant, sums) in &self.participants {
            let sums: Vec<String> = sums.iter().map(|(sort, sum)| format!("{sort} {sum}")).collect();
            writeln!(f, "  {participant}: {}", sums.join("; "))?;
        }
        match self.differs.as_slice() {
            [] => write!(f, "  points x price of {} participants: each as its statement says", self.statements),
            differs => write!(f, "  NOT AS STATED: {}", differs.join("; ")),
        }
    }
}

/// Compares a published window's statements with what was posted in it.
pub fn prove(url: &str, row: &Row) -> Result<Proof, Error> {
    let mut conn = settlement::connect(url).map_err(Error::failed)?;
    conn.batch_execute("SET statement_timeout = 0; SET enable_seqscan = on; SET enable_hashjoin = on")
        .map_err(Error::failed)?;
    let statements = statements::of_window(&mut conn, row.id).map_err(Error::failed)?;
    let (conversions, participants) = posted(&mut conn, row)?;
    let stated = stated(statements.iter().map(|row| (row.participant.as_str(), row.payload.as_str())))?;
    let lines = statements.iter().map(|row| row.lines).sum();
    let differs = differences(&participants, &stated);
    Ok(Proof { conversions, lines, statements: statements.len(), participants, differs })
}

/// Postings under the same terms, added up: of conversions (`taken` is empty), or of what took some back.
#[derive(QueryableByName)]
struct PostedSql {
    #[diesel(sql_type = Text)]
    from_partner: String,
    #[diesel(sql_type = Text)]
    to_partner: String,
    #[diesel(sql_type = SqlUuid)]
    terms_id: Uuid,
    #[diesel(sql_type = Text)]
    taken: String,
    /// Which campaign of the terms, from 1; 0 is the base credit, with the fees.
    #[diesel(sql_type = BigInt)]
    campaign: i64,
    #[diesel(sql_type = BigInt)]
    lines: i64,
    #[diesel(sql_type = BigInt)]
    points: i64,
    #[diesel(sql_type = BigInt)]
    fee: i64,
    #[diesel(sql_type = BigInt)]
    fee_lines: i64,
    #[diesel(sql_type = BigInt)]
    fee_points: i64,
}

#[derive(QueryableByName)]
struct AdjustedSql {
    #[diesel(sql_type = Text)]
    from_party: String,
    #[diesel(sql_type = Text)]
    to_party: String,
    #[diesel(sql_type = BigInt)]
    lines: i64,
    #[diesel(sql_type = BigInt)]
    amount: i64,
}

/// Conversions, then what took them back, of this window's or of earlier ones.
const POSTED: [&str; 2] = [
    "SELECT c.from_partner, c.to_partner, c.terms_id, '' AS taken, c.credit, c.bonuses, c.fee FROM conversions c WHERE c.window_id = $1",
    "SELECT c.from_partner, c.to_partner, c.terms_id, CASE WHEN c.window_id = $1 THEN 'this' ELSE 'earlier' END AS taken, \
     r.credit, r.bonuses, r.fee FROM reversals r JOIN conversions c USING (conversion_id) WHERE r.window_id = $1 AND r.state = 1",
];

/// How many conversions a window has, and what everything posted in it comes to.
fn posted(conn: &mut PgConnection, row: &Row) -> Result<(i64, Sums), Error> {
    let mut found: Vec<PostedSql> = Vec::new();
    for posted in POSTED {
        for sql in [
            format!(
                "SELECT from_partner, to_partner, terms_id, taken, 0::bigint AS campaign, count(*) AS lines, sum(credit)::bigint AS points, \
                 sum(fee)::bigint AS fee, count(*) FILTER (WHERE fee <> 0) AS fee_lines, \
                 coalesce(sum(credit) FILTER (WHERE fee <> 0), 0)::bigint AS fee_points FROM ({posted}) p GROUP BY 1, 2, 3, 4"
            ),
            format!(
                "SELECT from_partner, to_partner, terms_id, taken, b.nth AS campaign, count(*) AS lines, sum(b.points)::bigint AS points, \
                 0::bigint AS fee, 0::bigint AS fee_lines, 0::bigint AS fee_points \
                 FROM ({posted}) p, unnest(p.bonuses) WITH ORDINALITY b(points, nth) WHERE b.points > 0 GROUP BY 1, 2, 3, 4, 5"
            ),
        ] {
            found.extend(sql_query(sql).bind::<SqlUuid, _>(row.id.0).load::<PostedSql>(conn).map_err(Error::failed)?);
        }
    }
    let ids: BTreeSet<Uuid> = found.iter().map(|row| row.terms_id).collect();
    let terms = rows::terms(conn, &ids.into_iter().collect::<Vec<_>>()).map_err(Error::failed)?;
    let (mut conversions, mut sums) = (0, Sums::new());
    for row in &found {
        let terms = terms.get(&row.terms_id);
        let terms = terms.ok_or_else(|| Error::Failed(format!("the terms {} are not there", row.terms_id)))?;
        if row.taken.is_empty() && row.campaign == 0 {
            conversions += row.lines;
        }
        count(&mut sums, row, terms)?;
    }
    let sql = "SELECT from_party, to_party, count(*) AS lines, sum(amount)::bigint AS amount FROM adjustments WHERE window_id = $1 GROUP BY 1, 2";
    let adjusted: Vec<AdjustedSql> = sql_query(sql).bind::<SqlUuid, _>(row.id.0).load(conn).map_err(Error::failed)?;
    for row in adjusted {
        let (lines, amount) = (row.lines, i128::from(row.amount));
        add(&mut sums, &row.from_party, Sort::Adjustment, Sum { lines, points: 0, millionths: -amount });
        add(&mut sums, &row.to_party, Sort::Adjustment, Sum { lines, points: 0, millionths: amount });
    }
    Ok((conversions, sums))
}

/// Points × price, and who owes it to whom: the origin for what it sends, a funder for its bonus, a payer for the fee.
fn count(sums: &mut Sums, row: &PostedSql, terms: &Terms) -> Result<(), Error> {
    let (sign, taken) = match row.taken.as_str() {
        "" => (1, None),
        "this" => (-1, Some(Sort::Reversal)),
        _ => (-1, Some(Sort::EarlierReversal)),
    };
    let points = sign * i128::from(row.points);
    let amount = points * i128::from(terms.settlement_price.get());
    let slug = |party: Party| match party {
        Party::From => row.from_partner.as_str(),
        Party::To => row.to_partner.as_str(),
        Party::Operator => OPERATOR,
    };
    let of = |millionths: i128| Sum { lines: row.lines, points, millionths };
    let Some(campaign) = usize::try_from(row.campaign).ok().and_then(|nth| nth.checked_sub(1)) else {
        add(sums, slug(Party::From), taken.unwrap_or(Sort::Out), of(-amount));
        add(sums, slug(Party::To), taken.unwrap_or(Sort::In), of(amount));
        if row.fee != 0 && terms.fee_payer != Party::Operator {
            let (sort, fee) = (taken.map_or(Sort::Fee, |_| Sort::FeeBack), sign * i128::from(row.fee));
            let points = sign * i128::from(row.fee_points);
            add(sums, slug(terms.fee_payer), sort, Sum { lines: 0, points: 0, millionths: -fee });
            add(sums, OPERATOR, sort, Sum { lines: row.fee_lines, points, millionths: fee });
        }
        return Ok(());
    };
    let funder = terms.campaigns.get(campaign).map(|campaign| campaign.funder);
    let funder = funder.ok_or_else(|| Error::Failed(format!("a bonus of no campaign under {}", row.terms_id)))?;
    if funder == Party::To {
        // Its own points: a memo.
        add(sums, slug(funder), taken.unwrap_or(Sort::BonusByMe), of(0));
    } else {
        add(sums, slug(funder), taken.unwrap_or(Sort::BonusByMe), of(-amount));
        add(sums, slug(Party::To), taken.unwrap_or(Sort::BonusByOthers), of(amount));
    }
    Ok(())
}

fn add(sums: &mut Sums, participant: &str, sort: Sort, more: Sum) {
    let sum = sums.entry(participant.to_owned()).or_default().entry(sort.code()).or_default();
    sum.lines += more.lines;
    sum.points += more.points;
    sum.millionths += more.millionths;
}

/// The totals of statements, given as participant and payload.
fn stated<'a>(statements: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Sums, Error> {
    let mut sums = Sums::new();
    for (participant, payload) in statements {
        let body: serde_json::Value = serde_json::from_str(payload).map_err(Error::failed)?;
        let own = sums.entry(participant.to_owned()).or_default();
        for sort in Sort::ALL {
            let Some(total) = body["totals"].get(sort.code()) else { continue };
            let amount = total["amount"].as_str().and_then(Millionths::parse);
            let sum = amount.zip(total["lines"].as_i64()).zip(total["points"].as_i64());
            let ((amount, lines), points) =
                sum.ok_or_else(|| Error::Failed(format!("{participant}: its total of {} is none", sort.code())))?;
            let sum = Sum { lines, points: i128::from(points), millionths: i128::from(amount.get()) };
            own.insert(sort.code(), sum);
        }
    }
    Ok(sums)
}

/// Every participant and sort of which the two say other things.
fn differences(posted: &Sums, stated: &Sums) -> Vec<String> {
    let (nobody, nothing) = (BTreeMap::new(), Sum::default());
    let mut differs = Vec::new();
    for participant in posted.keys().chain(stated.keys()).collect::<BTreeSet<_>>() {
        let own = posted.get(participant).unwrap_or(&nobody);
        let told = stated.get(participant).unwrap_or(&nobody);
        for sort in Sort::ALL.map(Sort::code) {
            let (own, told) = (own.get(sort).unwrap_or(&nothing), told.get(sort).unwrap_or(&nothing));
            if own != told {
                differs.push(format!("{participant} {sort}: posted {own}, stated {told}"));
            }
        }
    }
    differs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quote::tests::two_to_one;
    use crate::domain::terms::FrozenCampaign;

    fn row(taken: &str, campaign: i64, (lines, points, fee): (i64, i64, i64)) -> PostedSql {
        PostedSql {
            from_partner: "aa".to_owned(),
            to_partner: "bb".to_owned(),
            terms_id: Uuid::nil(),
            taken: taken.to_owned(),
            campaign,
            lines,
            points,
            fee,
            fee_lines: lines,
            fee_points: points,
        }
    }

    fn told(sums: &Sums) -> Vec<String> {
        let each = sums.iter().flat_map(|(of, sums)| sums.iter().map(move |(sort, sum)| format!("{of} {sort} {sum}")));
        each.collect()
    }

    #[test]
    fn origin_funder_and_payer_owe_what_target_and_operator_are_owed() {
        let mut terms = two_to_one();
        terms.fee_payer = Party::From;
        terms.campaigns = vec![FrozenCampaign { funder: Party::Operator, ..terms.campaigns[0].clone() }];
        let mut sums = Sums::new();
        count(&mut sums, &row("", 0, (2, 136, 68_000)), &terms).expect("counted");
        count(&mut sums, &row("", 1, (2, 12, 0)), &terms).expect("counted");
        count(&mut sums, &row("earlier", 0, (1, 34, 17_000)), &terms).expect("counted");
        assert_eq!(
            told(&sums),
            [
                "aa earlier_reversal 1 lines, -34 points, 1.70",
                "aa fee 0 lines, 0 points, -0.068",
                "aa fee_back 0 lines, 0 points, 0.017",
                "aa out 2 lines, 136 points, -6.80",
                "bb bonus_by_others 2 lines, 12 points, 0.60",
                "bb earlier_reversal 1 lines, -34 points, -1.70",
                "bb in 2 lines, 136 points, 6.80",
                "operator bonus_by_me 2 lines, 12 points, -0.60",
                "operator fee 2 lines, 136 points, 0.068",
                "operator fee_back 1 lines, -34 points, -0.017",
            ]
        );
        assert!(count(&mut sums, &row("", 2, (1, 1, 0)), &terms).is_err(), "there is one campaign");
    }

    #[test]
    fn a_statement_that_is_a_millionth_off_or_not_there_is_named() {
        let mut sums = Sums::new();
        count(&mut sums, &row("", 0, (1, 68, 0)), &two_to_one()).expect("counted");
        let payload = |sort: &str, amount: &str| {
            format!(r#"{{"totals":{{"{sort}":{{"lines":1,"points":68,"amount":"{amount}"}}}}}}"#)
        };
        let (aa, bb) = (payload("out", "-3.40"), payload("in", "3.40"));
        let differs = |statements: &[(&str, &str)]| {
            let stated = stated(statements.iter().copied()).expect("statements");
            differences(&sums, &stated)
        };
        assert_eq!(differs(&[("aa", &aa), ("bb", &bb)]), [""; 0]);
        let off = payload("in", "3.400001");
        let says = ["bb in: posted 1 lines, 68 points, 3.40, stated 1 lines, 68 points, 3.400001"];
        assert_eq!(differs(&[("aa", &aa), ("bb", &off)]), says);
        assert_eq!(differs(&[("aa", &aa)]), ["bb in: posted 1 lines, 68 points, 3.40, stated 0 lines, 0 points, 0.00"]);
        assert_eq!(
            differs(&[("aa", &aa), ("bb", &bb), ("cc", &off)]),
            ["cc in: posted 0 lines, 0 points, 0.00, stated 1 lines, 68 points, 3.400001"]
        );
        assert!(stated([("aa", r#"{"totals":{"out":{"lines":1}}}"#)].into_iter()).is_err());
    }
}
