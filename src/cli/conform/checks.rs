//! What an endpoint does: members, holds, credits, events.

use super::calls::{Caller, Reply, Signed, id};
use super::{Args, Board};
use crate::clock;
use chrono::{NaiveDate, TimeDelta};
use hyper::Method;
use serde_json::{Value, json};

/// Copies of one request that are sent at once.
const COPIES: usize = 8;

pub fn hold_of(args: &Args, points: i64) -> Value {
    json!({
        "hold_id": id("hld"), "conversion_id": id("cnv"), "member_ref": args.member, "points": points, "kind": "base",
        "expires_at": clock::now() + TimeDelta::minutes(10),
    })
}

fn credit_of(args: &Args, points: i64) -> Value {
    let day = NaiveDate::from_ymd_opt(2099, 12, 31);
    json!({
        "credit_id": id("crd"), "conversion_id": id("cnv"), "member_ref": args.member, "kind": "base", "points": points,
        "lots": [
            { "points": points - 1, "expires_on": day, "kind": "base" }, { "points": 1, "expires_on": null, "kind": "bonus" },
        ],
    })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// The calls on one hold.
fn step_of(hold: &Value) -> Value {
    json!({ "hold_id": hold["hold_id"], "conversion_id": hold["conversion_id"] })
}

fn void_of(credit: &Value) -> Value {
    json!({ "credit_id": credit["credit_id"], "conversion_id": credit["conversion_id"] })
}

async fn balance(caller: &Caller, args: &Args) -> Option<i64> {
    caller.get(&format!("/memberships/{}", args.member)).await.json["balance"].as_i64()
}

/// What the member has now, against what it should have. A partner need not tell balances.
async fn judge_balance(
    caller: &Caller,
    args: &Args,
    board: &mut Board,
    chapter: &'static str,
    what: &'static str,
    wanted: Option<i64>,
) {
    let Some(wanted) = wanted else { return };
    let now = balance(caller, args).await;
    let got = now.map_or_else(|| "no balance".to_owned(), |now| format!("{:+}", now - wanted));
    board.put(chapter, what, "±0 from what it should be", got, now == Some(wanted));
}

impl Board {
    fn done(&mut self, chapter: &'static str, what: &'static str, reply: &Reply) {
        self.put(chapter, what, "2xx", reply.told(), reply.is_done());
    }

    fn refused(&mut self, chapter: &'static str, what: &'static str, reply: &Reply) {
        self.put(chapter, what, "422 and a code", reply.told(), reply.is_refusal());
    }

    fn absent(&mut self, chapter: &'static str, what: &'static str, reply: &Reply) {
        self.put(chapter, what, "404", reply.told(), reply.status == 404);
    }

    fn state(&mut self, chapter: &'static str, what: &'static str, wanted: &'static str, reply: &Reply) {
        let got = if reply.is_done() { text(&reply.json, "state").to_owned() } else { reply.told() };
        self.put(chapter, what, wanted, got, reply.is_done() && reply.json["state"] == wanted);
    }

    /// That an answer is about this id and these points.
    fn about(&mut self, chapter: &'static str, what: &'static str, reply: &Reply, asked: (&str, &Value, i64)) {
        let (name, id, points) = asked;
        let holds = reply.is_done() && reply.json[name] == *id && reply.json["points"] == points;
        let got = if reply.is_done() {
            format!("{} {}", text(&reply.json, name), reply.json["points"])
        } else {
            reply.told()
        };
        self.put(chapter, what, "its id and its points", got, holds);
    }
}

pub async fn membership(caller: &Caller, args: &Args, board: &mut Board) {
    const OF: &str = "membership";
    let reply = caller.get(&format!("/memberships/{}", args.member)).await;
    board.done(OF, "GET /memberships/{ref}", &reply);
    let has = !text(&reply.json, "status").is_empty() && !text(&reply.json, "tier").is_empty();
    board.put(OF, "says status and tier", "both", reply.json.to_string(), has);
    board.absent(OF, "a member nobody knows", &caller.get(&format!("/memberships/{}", id("nobody"))).await);
}

/// Hold, capture, and what was captured comes back.
pub async fn holds(caller: &Caller, args: &Args, board: &mut Board) {
    const OF: &str = "hold";
    let (before, points) = (balance(caller, args).await, args.points);
    let hold = hold_of(args, points);
    let copies = (0..COPIES).map(|_| caller.post("/holds", &hold));
    let replies = join(copies).await;
    let first = &replies[0];
    board.about(OF, "POST /holds", first, ("hold_id", &hold["hold_id"], points));
    let sum = first.lots().map_or_else(|| "no lots".to_owned(), |sum| sum.to_string());
    board.put(OF, "the lots add up to the points", "the same sum", sum, first.lots() == Some(points));
    let same = replies.iter().all(|reply| reply.is_done() && reply.json == first.json);
    let told = replies.iter().find(|reply| reply.json != first.json).unwrap_or(first);
    board.put(OF, "8 copies at once have one answer", "the first answer", told.told(), same);
    let again = caller.post("/holds", &hold).await;
    board.put(OF, "the same again has the same answer", "the first answer", again.told(), again.json == first.json);
    judge_balance(caller, args, board, OF, "points are held once", before.map(|before| before - points)).await;
    let mut other = hold.clone();
    other["points"] = json!(points - 1);
    board.refused(OF, "another request under the same id", &caller.post("/holds", &other).await);
    let path = format!("/holds/{}", text(&hold, "hold_id"));
    board.state(OF, "GET /holds/{id}", "held", &caller.get(&path).await);
    let step = step_of(&hold);
    board.state(OF, "POST /holds/{id}/capture", "captured", &caller.post(&format!("{path}/capture"), &step).await);
    board.done(OF, "a capture again", &caller.post(&format!("{path}/capture"), &step).await);
    board.refused(OF, "a release of what is captured", &caller.post(&format!("{path}/release"), &step).await);
    board.state(OF, "GET after the capture", "captured", &caller.get(&path).await);
    give_back(caller, args, board, &hold).await;
    judge_balance(caller, args, board, OF, "all is as it was", before).await;
    let step = step_of(&hold_of(args, points));
    let unknown = format!("/holds/{}/capture", text(&step, "hold_id"));
    board.refused(OF, "a capture of what was never held", &caller.post(&unknown, &step).await);
    board.absent(OF, "GET of what was never held", &caller.get(&format!("/holds/{}", id("hld"))).await);
}

async fn give_back(caller: &Caller, args: &Args, board: &mut Board, hold: &Value) {
    const OF: &str = "giving back";
    let mut back = credit_of(args, args.points);
    (back["kind"], back["reverses"]) = (json!("reversal"), hold["hold_id"].clone());
    let reply = caller.post("/credits", &back).await;
    board.about(OF, "a credit that reverses the hold", &reply, ("credit_id", &back["credit_id"], args.points));
    board.done(OF, "the same again", &caller.post("/credits", &back).await);
    let mut more = credit_of(args, args.points);
    (more["kind"], more["reverses"]) = (json!("reversal"), hold["hold_id"].clone());
    board.refused(OF, "more than was captured", &caller.post("/credits", &more).await);
}

/// Holds that end without a capture, and refusals.
pub async fn releases(caller: &Caller, args: &Args, board: &mut Board) {
    const OF: &str = "release";
    let before = balance(caller, args).await;
    let hold = hold_of(args, args.points);
    let (path, step) = (format!("/holds/{}", text(&hold, "hold_id")), step_of(&hold));
    board.done(OF, "POST /holds", &caller.post("/holds", &hold).await);
    board.done(OF, "POST /holds/{id}/release", &caller.post(&format!("{path}/release"), &step).await);
    board.done(OF, "a release again", &caller.post(&format!("{path}/release"), &step).await);
    board.state(OF, "GET after the release", "released", &caller.get(&path).await);
    board.refused(OF, "a late copy of the hold", &caller.post("/holds", &hold).await);
    board.refused(OF, "a capture of what is released", &caller.post(&format!("{path}/capture"), &step).await);
    let late = hold_of(args, args.points);
    let path = format!("/holds/{}/release", text(&late, "hold_id"));
    board.done(OF, "a release before its hold", &caller.post(&path, &step_of(&late)).await);
    board.refused(OF, "the hold that comes after its release", &caller.post("/holds", &late).await);
    let large = hold_of(args, (1 << 53) - 1);
    let first = caller.post("/holds", &large).await;
    board.refused(OF, "a hold of more than there is", &first);
    let again = caller.post("/holds", &large).await;
    let same = (again.status, again.code()) == (first.status, first.code());
    board.put(OF, "a refusal again", "the same refusal", again.told(), same);
    let mut nobody = hold_of(args, args.points);
    nobody["member_ref"] = json!(id("nobody"));
    board.refused(OF, "a hold of nobody's points", &caller.post("/holds", &nobody).await);
    judge_balance(caller, args, board, OF, "all is as it was", before).await;
}

pub async fn credits(caller: &Caller, args: &Args, board: &mut Board) {
    const OF: &str = "credit";
    let (before, points) = (balance(caller, args).await, args.points);
    let credit = credit_of(args, points);
    let (path, void) = (format!("/credits/{}", text(&credit, "credit_id")), void_of(&credit));
    let reply = caller.post("/credits", &credit).await;
    board.about(OF, "POST /credits, base and bonus", &reply, ("credit_id", &credit["credit_id"], points));
    board.done(OF, "the same again", &caller.post("/credits", &credit).await);
    judge_balance(caller, args, board, OF, "points are credited once", before.map(|before| before + points)).await;
    let mut other = credit.clone();
    other["lots"][0]["points"] = json!(points);
    other["points"] = json!(points + 1);
    board.refused(OF, "another request under the same id", &caller.post("/credits", &other).await);
    board.state(OF, "GET /credits/{id}", "credited", &caller.get(&path).await);
    board.done(OF, "POST /credits/{id}/void", &caller.post(&format!("{path}/void"), &void).await);
    board.done(OF, "a void again", &caller.post(&format!("{path}/void"), &void).await);
    board.state(OF, "GET after the void", "voided", &caller.get(&path).await);
    board.refused(OF, "a late copy of the credit", &caller.post("/credits", &credit).await);
    let late = credit_of(args, points);
    let void_path = format!("/credits/{}/void", text(&late, "credit_id"));
    board.done(OF, "a void before its credit", &caller.post(&void_path, &void_of(&late)).await);
    board.refused(OF, "the credit that comes after its void", &caller.post("/credits", &late).await);
    board.absent(OF, "GET of what was never credited", &caller.get(&format!("/credits/{}", id("crd"))).await);
    let mut nobody = credit_of(args, points);
    nobody["member_ref"] = json!(id("nobody"));
    board.refused(OF, "a credit to nobody", &caller.post("/credits", &nobody).await);
    let mut short = credit_of(args, points);
    short["points"] = json!(points + 1);
    let reply = caller.post("/credits", &short).await;
    board.put(OF, "lots that do not add up", "4xx", reply.told(), reply.is_caller_fault());
    judge_balance(caller, args, board, OF, "all is as it was", before).await;
}

/// An event of no place in the sequence, as a test of the webhooks is.
pub async fn events(caller: &Caller, board: &mut Board) {
    const OF: &str = "webhook";
    let event = json!({ "id": id("evt"), "type": "webhook.test", "timestamp": clock::now(), "data": {} });
    let first = caller.post("/webhooks", &event).await;
    if !caller.has_secret() && first.status == 401 {
        board.put(OF, "POST /webhooks, which needs --webhook-secret here", "2xx or 401", first.told(), true);
        return;
    }
    board.done(OF, "POST /webhooks", &first);
    board.done(OF, "the same event again", &caller.post("/webhooks", &event).await);
    if caller.has_secret() {
        let other = json!({ "id": id("evt"), "type": "webhook.test", "timestamp": clock::now(), "data": {} });
        let reply = caller.call(Method::POST, "/webhooks", other.to_string().into_bytes(), Signed::ByKey).await;
        board.put(OF, "an event without the secret's signature", "401", reply.told(), reply.status == 401);
    }
}

/// All at once.
async fn join<F: Future<Output = Reply>>(calls: impl Iterator<Item = F>) -> Vec<Reply> {
    let mut calls: Vec<_> = calls.map(|call| (Box::pin(call), None)).collect();
    std::future::poll_fn(|cx| {
        for (call, reply) in calls.iter_mut().filter(|(_, reply)| reply.is_none()) {
            if let std::task::Poll::Ready(told) = call.as_mut().poll(cx) {
                *reply = Some(told);
            }
        }
        let ready = calls.iter().all(|(_, reply)| reply.is_some());
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    calls.into_iter().filter_map(|(_, reply)| reply).collect()
}
