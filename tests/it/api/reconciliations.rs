//! Reconciling a partner's own list over HTTP: every kind of difference, what is refused, and lists too large to hold.

use super::settled::told;
use super::{Api, Caller, Expect};
use crate::support::poll;
use crate::tls::Answer;
use hanse::domain::ids::WindowId;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

fn place(window: WindowId) -> String {
    format!("/v1/settlements/{window}/reconciliations")
}

impl Caller {
    /// Sends a list whole.
    fn list(&self, path: &str, kind: &str, list: &str) -> Answer {
        let length = list.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        self.connect().raw(format!("{head}{list}").as_bytes()).expect("an answer")
    }

    /// Reads an answer that comes in pieces.
    fn download(&self, path: &str) -> (String, String) {
        let mut connection = self.connect();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        connection.0.write_all(request.as_bytes()).expect("sent");
        let mut bytes = Vec::new();
        // The server closes without the end of TLS: what the pieces say is what counts.
        let _ = connection.0.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).expect("UTF-8");
        let (head, mut rest) = text.split_once("\r\n\r\n").expect("a head");
        let mut body = String::new();
        loop {
            let (length, after) = rest.split_once("\r\n").expect("the length of a piece");
            let length = usize::from_str_radix(length, 16).expect("a length");
            if length == 0 {
                return (head.to_lowercase(), body);
            }
            body += &after[..length];
            rest = &after[length + 2..];
        }
    }
}

fn path(window: WindowId, made: &Value, tail: &str) -> String {
    format!("{}/{}{tail}", place(window), made["reconciliation_id"].as_str().expect("an id"))
}

/// A window of aa's with five conversions, and a sixth in the next.
fn closed(api: &Api) -> (WindowId, Vec<Value>) {
    api.linked();
    let orders = [("order-1", 136), ("order-2", 20), ("order-3", 40), ("order-4", 10), ("order-5", 8)];
    let made = orders.map(|(reference, points)| api.converted(reference, points));
    let window = api.close_window().id;
    api.converted("order-6", 2);
    (window, made.to_vec())
}

#[test]
fn a_list_with_every_kind_of_difference_is_reconciled_downloaded_and_disputed() {
    let api = Api::new("reconciliations", "");
    let (window, made) = closed(&api);
    let first = made[0]["conversion_id"].as_str().expect("an id");
    // Ours: 136 -> 68 at 0.05, 20 -> 10, 40 -> 20, 10 -> 5, 8 -> 4.
    let list = format!(
        "Nr,Id,To pay,Got,Whom,Remark\r\n,{first},3.40,68,bb,\"a, b\"\r\norder-2,,0.5,10,bb,\r\norder-2,,0.5,10,bb,\r\n\
         order-3,,1.10,20,bb,\r\norder-4,,0.25,6,bb,\r\nlost-1,,7,140,bb,\r\norder-6,,0.05,1,bb,\r\n"
    );
    let map = "map=Nr:external_reference,Id:conversion_id,To%20pay:payable,Got:points,Whom:counterparty";
    let to = format!("{}?{map}", place(window));
    let done = api.aa.list(&to, "text/csv", &list).status(201);
    let results = &done["results"];
    let result = |code: &str, count: u64, here: &str, there: &str| {
        assert_eq!(results[code], json!({ "count": count, "here": here, "there": there }), "{code}: {done:#}");
    };
    result("matched", 2, "-3.90", "-3.90");
    result("duplicate", 1, "0.00", "-0.50");
    result("amount", 1, "-1.00", "-1.10");
    result("rate", 1, "-0.25", "-0.25");
    result("missing_here", 1, "0.00", "-7.00");
    result("missing_there", 1, "-0.20", "0.00");
    result("late", 1, "0.00", "-0.05");
    assert_eq!((&done["rows"], &done["lines"], &done["differences"]), (&json!(7), &json!(5), &json!(6)));
    assert_eq!(done["compared"], json!(["conversion_id", "counterparty", "external_reference", "payable", "points"]));

    // The same list is the same reconciliation; read otherwise it is another.
    assert_eq!(api.aa.list(&to, "text/csv; charset=utf-8", &list).status(200), done);
    let fewer = format!("{}?map=Nr:external_reference,Id:conversion_id,To%20pay:payable", place(window));
    let other = api.aa.list(&fewer, "text/csv", &list).status(201);
    assert_eq!((&other["results"]["rate"]["count"], &other["results"]["matched"]["count"]), (&json!(0), &json!(3)));
    let events = told(api.aa.get("/v1/events?limit=1000"), "reconciliation.");
    assert_eq!((events.len(), &events[0]["data"]["results"]), (2, results));

    downloaded(&api, window, &done);
    disputed(&api, window, &done);
}

fn downloaded(api: &Api, window: WindowId, done: &Value) {
    assert_eq!(api.aa.get(&path(window, done, "")).status(200), *done);
    for tail in ["", "/differences"] {
        api.bb.get(&path(window, done, tail)).refused(404, "not_found");
        api.operator_named("eve").get(&path(window, done, tail)).refused(403, "forbidden");
    }
    let (head, body) = api.aa.download(&path(window, done, "/differences"));
    assert!(head.contains("content-type: application/x-ndjson"), "{head}");
    let found: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let results: Vec<&str> = found.iter().filter_map(|one| one["result"].as_str()).collect();
    assert_eq!(results, ["duplicate", "amount", "rate", "missing_there", "missing_here", "late"], "{body}");
    assert_eq!(
        found.iter().map(|one| one["place"].as_i64()).collect::<Vec<_>>(),
        (1..=6).map(Some).collect::<Vec<_>>()
    );
    assert_eq!(
        (&found[1]["row"], &found[1]["here"]["amount"], &found[1]["there"]["amount"], &found[1]["difference"]),
        (&json!(4), &json!("-1.00"), &json!("-1.10"), &json!("-0.10"))
    );
    assert_eq!((&found[3]["external_reference"], &found[3]["difference"]), (&json!("order-5"), &json!("0.20")));
    assert_eq!((&found[4]["external_reference"], &found[4]["counterparty"]), (&json!("lost-1"), &json!("bb")));
    assert_eq!((&found[5]["window"], &found[5]["external_reference"]), (&json!(2), &json!("order-6")));

    let (head, body) = api.aa.download(&path(window, done, "/differences?format=csv"));
    assert!(head.contains("content-type: text/csv"), "{head}");
    let mut reader = csv::Reader::from_reader(body.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("CSV")).collect();
    assert_eq!((rows.len(), &rows[1][1], &rows[1][10], &rows[5][9]), (6, "amount", "-1.00", "2"));
    api.aa.get(&path(window, done, "/differences?format=xml")).refused(422, "invalid");
}

fn disputed(api: &Api, window: WindowId, done: &Value) {
    let to = path(window, done, "/disputes");
    api.bb.post(&to, "", &json!({})).refused(404, "not_found");
    api.aa.post(&to, "", &json!({ "results": ["amount"] })).refused(422, "invalid");
    let opened = api.aa.send("POST", &to, "", None).status(200);
    assert_eq!(opened["disputes"], json!({ "opened": 3, "known": 0, "skipped": 3, "left": 0 }), "{opened:#}");
    assert_eq!(api.aa.send("POST", &to, "", None).status(200), opened, "again nothing");
    let disputes = api.bb.get("/v1/disputes").status(200);
    let claims: Vec<_> =
        disputes["items"].as_array().expect("items").iter().map(|one| (&one["kind"], &one["claim"])).collect();
    // The rate of order-4 has the amount we have: there is nothing to claim.
    let wanted = [("missing", "-7.00"), ("eligibility", "0.20"), ("amount", "-0.10")];
    assert_eq!(
        claims,
        wanted.map(|(kind, claim)| (json!(kind), json!(claim))).iter().map(|(a, b)| (a, b)).collect::<Vec<_>>()
    );
    let own = api.aa.get("/v1/disputes").status(200);
    assert!(own["items"][0]["note"].as_str().is_some_and(|note| note.contains("row 6")), "{own:#}");
    assert_eq!(own["items"][0]["reconciliation_id"], done["reconciliation_id"]);
}

#[test]
fn what_is_missing_here_is_disputed_though_the_list_names_no_counterparty() {
    let api = Api::new("reconciliations-nobody", "");
    let (window, _) = closed(&api);
    let list = "external_reference,amount\nlost-1,-7.00\nlost-2,-8.00\n";
    let done = api.aa.list(&place(window), "text/csv", list).status(201);
    assert_eq!(done["results"]["missing_here"]["count"], 2);
    let opened = api.aa.send("POST", &path(window, &done, "/disputes"), "", None).status(200);
    // The five that the list has not are disputes as well.
    assert_eq!(opened["disputes"], json!({ "opened": 7, "known": 0, "skipped": 0, "left": 0 }), "{opened:#}");
    let own = api.aa.get("/v1/disputes").status(200);
    let missing: Vec<&Value> =
        own["items"].as_array().expect("items").iter().filter(|one| one["kind"] == "missing").collect();
    assert_eq!(missing.len(), 2);
    assert!(missing.iter().all(|one| one.get("counterparty").is_none()), "{own:#}");
}

#[test]
fn nobody_disputes_what_it_is_owed_and_has_not_in_its_list() {
    let api = Api::new("reconciliations-owed", "");
    let (window, _) = closed(&api);
    let done = api.bb.list(&place(window), "text/csv", "external_reference,amount\n").status(201);
    assert_eq!(done["results"]["missing_there"], json!({ "count": 5, "here": "5.35", "there": "0.00" }), "{done:#}");
    let opened = api.bb.post(&path(window, &done, "/disputes"), "", &json!({})).status(200);
    assert_eq!(opened["disputes"], json!({ "opened": 0, "known": 0, "skipped": 5, "left": 0 }), "{opened:#}");
    assert_eq!(api.bb.get("/v1/disputes").status(200)["items"], json!([]));
}

#[test]
fn an_adjustment_is_disputed_only_where_the_list_names_its_line() {
    let api = Api::new("reconciliations-adjusted", "");
    api.linked();
    api.converted("order-1", 136);
    api.adjusted("aa", "bb", "0.75");
    let window = api.close_window().id;
    let lines = api.lines(window, "aa");
    let line = lines.iter().find(|line| line["kind"] == "adjustment").expect("an adjustment");
    assert_eq!(line["amount"], "-0.75");
    let orders = api.aa.list(&place(window), "text/csv", "external_reference,points\norder-1,50\n").status(201);
    assert_eq!(
        (&orders["results"]["missing_there"]["count"], &orders["results"]["rate"]["count"]),
        (&json!(1), &json!(1))
    );
    let (_, body) = api.aa.download(&path(window, &orders, "/differences"));
    assert!(body.contains(r#""kind":"adjustment""#), "{body}");
    let opened = api.aa.send("POST", &path(window, &orders, "/disputes"), "", None).status(200);
    assert_eq!(opened["disputes"], json!({ "opened": 1, "known": 0, "skipped": 1, "left": 0 }), "{opened:#}");
    let own = api.aa.get("/v1/disputes").status(200);
    let note = own["items"][0]["note"].as_str().expect("a note");
    assert!(note.ends_with(", row 1: rate (68 points here, 50 there)"), "{note}");

    let list = format!("line_id,amount\n{},-0.25\n", line["line_id"].as_str().expect("an id"));
    let named = api.aa.list(&place(window), "text/csv", &list).status(201);
    api.aa.send("POST", &path(window, &named, "/disputes"), "", None).status(200);
    let own = api.aa.get("/v1/disputes").status(200);
    let of_it = own["items"].as_array().expect("items").iter().find(|one| one["line_id"] == line["line_id"]);
    let of_it = of_it.unwrap_or_else(|| panic!("{own:#}"));
    assert_eq!((&of_it["kind"], &of_it["claim"]), (&json!("amount"), &json!("0.50")), "{of_it:#}");
    let note = of_it["note"].as_str().expect("a note");
    assert!(note.ends_with(", row 1: amount (-0.75 here, -0.25 there)"), "{note}");
}

#[test]
fn points_alone_are_compared_line_by_line_where_lines_are_named_and_disputes_end_in_time() {
    let api = Api::new("reconciliations-lines", "");
    let (window, _) = closed(&api);
    // Of bb's first posting two lines: the credit and its bonus, a memo.
    let lines = api.lines(window, "bb");
    let mut list = String::new();
    for line in &lines {
        let points = line["points"].as_i64().expect("points") + i64::from(line["line_no"] == 2);
        writeln!(list, "{}", json!({ "line_id": line["line_id"], "points": points, "amount": line["amount"] }))
            .expect("written");
    }
    let done = api.bb.list(&place(window), "application/x-ndjson", &list).status(201);
    let count = |code: &str| done["results"][code]["count"].as_u64();
    assert_eq!(
        (count("matched"), count("rate"), done["lines"].as_u64()),
        (Some(lines.len() as u64 - 1), Some(1), Some(lines.len() as u64))
    );
    // By conversions, a bonus belongs to its conversion, counted with it or not.
    let mut list = "conversion_id,points\n".to_owned();
    for (nth, line) in lines.iter().filter(|line| line["kind"] == "conversion").enumerate() {
        let bonus = if nth == 0 { 6 } else { 0 };
        let points = line["points"].as_i64().expect("points") + bonus;
        writeln!(list, "{},{points}", line["conversion_id"].as_str().expect("an id")).expect("written");
    }
    let whole = api.bb.list(&place(window), "text/csv", &list).status(201);
    assert_eq!((&whole["differences"], &whole["results"]["matched"]["count"]), (&json!(0), &json!(5)), "{whole:#}");
    assert_eq!(api.bb.download(&path(window, &whole, "/differences")).1, "");

    // An empty list: everything is missing there, and it is too late to dispute it.
    let empty = api.aa.list(&place(window), "text/csv", "external_reference,amount\n").status(201);
    assert_eq!(empty["results"]["missing_there"], json!({ "count": 5, "here": "-5.35", "there": "0.00" }));
    api.advance("9 days");
    let to = path(window, &empty, "/disputes");
    api.aa.send("POST", &to, "", None).refused(409, "dispute_closed");
    assert_eq!(api.aa.get(&path(window, &empty, "")).status(200)["disputes"]["left"], 5);
}

#[test]
fn a_list_that_cannot_be_taken_is_refused_and_leaves_nothing() {
    let api = Api::new("reconciliations-refused", "");
    let (window, _) = closed(&api);
    let to = place(window);
    let good = "external_reference,amount\norder-1,-3.40\n";
    for kind in ["application/json", "text/csv; charset=gbk", "text/csv; charset=utf-8; header=absent", "text/csvx"] {
        let problem = api.aa.list(&to, kind, good).refused(415, "unsupported_media_type");
        assert!(problem["detail"].as_str().is_some_and(|why| why.contains("text/csv")), "{problem}");
        assert!(!problem.to_string().contains("application/json"), "{problem}");
    }
    api.cc
        .list("/v1/settlements/win_0198c0de0000700080000000000000ab/reconciliations", "text/csv", good)
        .refused(404, "not_found");
    api.aa.list(&place(api.window(2)), "text/csv", good).refused(404, "not_found");
    api.operator().list(&to, "text/csv", good).refused(403, "forbidden");
    for (query, list, pointer) in [
        ("?map=a", good, "?map"),
        ("?map=order:external_reference,amount:amount", good, "/columns"),
        ("?maps=a", good, "?maps"),
        ("", "order,amount\n", "/columns"),
        ("", "external_reference,amount\norder-1,3.4.0\norder-2,1,000\n", "/rows/1/amount"),
    ] {
        let problem = api.aa.list(&format!("{to}{query}"), "text/csv", list).refused(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
    }
    api.aa.list(&to, "application/x-ndjson", "{\"external_reference\":\"a\",\n").refused(400, "malformed");
    api.aa
        .list(&to, "text/csv", &format!("external_reference,amount\n{},1\n", "x".repeat(200_000)))
        .refused(400, "malformed");
    let head = |length: u64| {
        format!("POST {to} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\ncontent-length: {length}\r\n\r\n")
    };
    api.aa.connect().raw(head(1 << 31).as_bytes()).expect("an answer").refused(413, "too_large");
    // A body that stops is not a short list.
    let mut connection = api.aa.connect();
    connection.0.write_all(format!("{}{good}", head(1_000)).as_bytes()).expect("sent");
    drop(connection);
    assert_eq!(told(api.aa.get("/v1/events?limit=1000"), "reconciliation."), Vec::<Value>::new());
    for kind in
        ["text/csv; header=present", "Text/CSV;charset=\"UTF-8\"; header=present", "text/csv; charset=us-ascii; x=y"]
    {
        api.aa.list(&format!("{to}?map=a"), kind, good).refused(422, "invalid");
    }
    let poll = crate::support::poll("the turn is free again", std::time::Duration::from_secs(10), || {
        let answer = api.aa.list(&to, "text/csv", good);
        (answer.status != 503).then_some(answer)
    });
    assert_eq!(poll.status(201)["results"]["matched"]["count"], 1);
}

const ALONE: &str = "HANSE_TEST_ALONE";

/// Rows of the large list: more in a long run.
fn rows() -> usize {
    if crate::support::is_long() { 1_000_000 } else { 100_000 }
}

/// Run again as a process of its own, so that what it takes in memory is this test's alone.
#[test]
fn a_large_list_is_taken_as_it_comes_in_bounded_memory() {
    if std::env::var_os(ALONE).is_some() {
        return large();
    }
    let name = "api::reconciliations::a_large_list_is_taken_as_it_comes_in_bounded_memory";
    let mut alone = Command::new(std::env::current_exe().expect("this binary"));
    let output =
        alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").stdin(Stdio::null()).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "{told}");
}

fn large() {
    let api = Api::new("reconciliations-large", "");
    let (window, _) = closed(&api);
    let mut connection = api.aa.connect();
    let before = peak_bytes();
    let head = format!(
        "POST {}?map=Ref:external_reference,Value:amount HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\n\
         transfer-encoding: chunked\r\n\r\n",
        place(window)
    );
    connection.0.write_all(head.as_bytes()).expect("sent");
    let mut send = |piece: &str| {
        let piece = format!("{:x}\r\n{piece}\r\n", piece.len());
        connection.0.write_all(piece.as_bytes()).expect("sent");
    };
    send("Ref,Filler,Value\r\norder-1,,-3.40\r\n");
    let filler = "goods of many kinds ".repeat(5);
    for chunk in 0..rows() / 1_000 {
        let mut piece = String::new();
        for row in 0..1_000 {
            write!(piece, "order-2026-{:09},{filler},-1.05\r\n", chunk * 1_000 + row).expect("written");
        }
        send(&piece);
    }
    connection.0.get_ref().set_read_timeout(Some(std::time::Duration::from_secs(300))).expect("set");
    let done = connection.raw(b"0\r\n\r\n").expect("an answer").status(201);
    let taken = peak_bytes() - before;
    assert_eq!(done["rows"], rows() + 1);
    assert_eq!(done["results"]["missing_here"]["count"], rows());
    let there = format!("-{}.{:02}", rows() * 105 / 100, rows() * 105 % 100);
    assert_eq!(done["results"]["missing_here"]["there"], there.trim_end_matches('0').to_owned() + "00");
    println!("{} rows: {} MB at most", rows(), taken >> 20);
    // 200 bytes a row: holding what was sent, 130 of them, beside what is kept of it would take more.
    assert!(taken < rows() * 200, "{taken} bytes for {} rows", rows());
    let (_, body) = api.aa.download(&path(window, &done, "/differences"));
    assert_eq!(body.lines().count(), rows() + 4, "all of them, and what the list has not");
}

/// The most memory this process has had.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes << 10
}

#[test]
fn differences_and_a_dispute_of_a_line_among_them_do_not_wait_for_each_other() {
    let api = Api::new("reconciliations-beside", "");
    let (window, _) = closed(&api);
    // None of aa's lines is in its list.
    let done = api.aa.list(&place(window), "text/csv", "external_reference,amount\nnone-1,-1\n").status(201);
    let last = api.lines(window, "aa").pop().expect("a line");
    let disputed = json!({ "line_id": last["line_id"], "kind": "eligibility", "note": "not ours" });
    // Both come to the statement while somebody has it, and each goes on to the line of the other.
    let mut held = api.house.database.connection();
    let hold = "BEGIN; SELECT FROM statements WHERE participant = 'aa' FOR UPDATE";
    diesel::connection::SimpleConnection::batch_execute(&mut held, hold).expect("held");
    let waiting = |count: i64| {
        poll("both wait", Duration::from_secs(20), || (api.waiting_for_locks() >= count).then_some(()));
    };
    let answers = std::thread::scope(|scope| {
        let all = scope.spawn(|| api.aa.post(&path(window, &done, "/disputes"), "", &json!({})));
        waiting(1);
        let one = scope.spawn(|| api.aa.post(&format!("/v1/settlements/{window}/disputes"), "", &disputed));
        waiting(2);
        diesel::connection::SimpleConnection::batch_execute(&mut held, "COMMIT").expect("let go");
        [all, one].map(|answer| answer.join().expect("answered"))
    });
    let [all, one] = answers;
    let all = all.status(200);
    assert_eq!(one.status(200)["kind"], "eligibility", "opened by the other");
    assert_eq!(all["disputes"]["opened"], 6, "{all:#}");
}
