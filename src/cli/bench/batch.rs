//! Batches: many items in one request, and again those that were put off, until each has its outcome.

use super::answer::{Item, Outcomes};
use super::client::{Ask, Client};
use std::time::Duration;

/// Items of one batch, as many as the API takes.
pub const ITEMS: usize = 1000;
/// Before put-off items are sent again.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends `items`, JSON objects with keys of their own, and tells the outcome of each with how often it was sent.
/// `Err` is the code of an answer that refused the batch as a whole; then what was not told has no outcome.
pub async fn send(
    client: &mut Client,
    uri: &'static str,
    items: &[String],
    mut outcome: impl FnMut(usize, &Item<'_>, u32),
) -> Result<(), String> {
    let mut waiting: Vec<usize> = (0..items.len()).collect();
    let mut sent = 0;
    while !waiting.is_empty() {
        let answer = client.ask(&Ask::post(uri, None, body(items, &waiting))).await;
        sent += answer.tries;
        if answer.status != 200 {
            return Err(answer.code());
        }
        let outcomes: Outcomes =
            serde_json::from_slice(&answer.body).map_err(|cause| format!("unreadable: {cause}"))?;
        if outcomes.items.len() != waiting.len() {
            return Err(format!("{} outcomes of {} items", outcomes.items.len(), waiting.len()));
        }
        let mut again = Vec::new();
        for (at, item) in waiting.iter().zip(&outcomes.items) {
            if item.is_put_off() {
                again.push(*at);
                client.put_off(item.code());
            } else {
                outcome(*at, item, sent);
            }
        }
        waiting = again;
        if !waiting.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

fn body(items: &[String], chosen: &[usize]) -> String {
    let length = chosen.iter().map(|at| items[*at].len() + 1).sum::<usize>();
    let mut body = String::with_capacity(length + 12);
    body.push_str("{\"items\":[");
    for (place, at) in chosen.iter().enumerate() {
        if place > 0 {
            body.push(',');
        }
        body.push_str(&items[*at]);
    }
    body.push_str("]}");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_the_chosen_items_in_order() {
        let items = ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"].map(str::to_owned);
        assert_eq!(body(&items, &[0, 2]), r#"{"items":[{"a":1},{"c":3}]}"#);
        assert_eq!(body(&items, &[1]), r#"{"items":[{"b":2}]}"#);
    }
}
