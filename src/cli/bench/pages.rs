//! Members' pages: opened by one-time addresses as a brand's app does, then read one after the other.
//!
//! One page is asked for at a time and each member's in turn, so that what is measured is how long the server takes for one,
//! and few limits are met; a page that was refused for one is asked for again and counts from then.

use super::client::{Ask, Client};
use super::load::Setting;
use crate::cli::Error;
use crate::clock;
use indicatif::ProgressBar;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Members whose pages are open: as many as one address may open at once.
const MEMBERS: u64 = 90;
/// Between members, so that none asks for more than ten pages a second.
const PAUSE: Duration = Duration::from_millis(6);
const PAGES: [&str; 5] = ["/member", "/member/history", "/member/benefits", "/member/vouchers", "/member/links"];

/// One page, as often as it was asked for.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Seen {
    pub page: &'static str,
    pub times: usize,
    /// Of the largest answer, as it is sent.
    pub bytes: usize,
    /// Microseconds from the request until the whole page is there.
    pub p50_us: u64,
    pub p99_us: u64,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Seen { page, times, bytes, p50_us, p99_us } = self;
        let tenths = |us: u64| format!("{}.{} ms", us / 1_000, us % 1_000 / 100);
        write!(f, "{page}: {times} times, p50 {}, p99 {}, {bytes} bytes", tenths(*p50_us), tenths(*p99_us))
    }
}

/// Opens pages of members of the hot pair's origin and reads them until the time is over. `pages` is where browsers find them.
pub async fn run(setting: &Setting, pages: &str, bar: &ProgressBar) -> Result<Vec<Seen>, Error> {
    // Pages are read without TLS, but a client is not made without anything for it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
    let http = http.map_err(Error::failed)?;
    let tally = Rc::default();
    let mut app = setting.clients.client(setting.hot.pair.from.slug, 0, &tally)?;
    let members = MEMBERS.min(setting.hot.members);
    bar.set_message("opening pages");
    bar.set_length(members);
    let mut cookies = Vec::new();
    for nth in 0..members {
        cookies.push(open(&mut app, &http, &setting.hot.member_ref(nth)).await?);
        bar.inc(1);
    }
    bar.set_message("reading pages");
    let mut took: [(Vec<u64>, usize); PAGES.len()] = Default::default();
    let since = clock::instant();
    while since.elapsed() < setting.time {
        for cookie in &cookies {
            for (page, (times, bytes)) in PAGES.iter().zip(&mut took) {
                let (answer, asked) = get(&http, &format!("{pages}{page}"), Some(cookie)).await?;
                let status = answer.status();
                let body = answer.bytes().await.map_err(Error::failed)?;
                times.push(u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX));
                *bytes = (*bytes).max(body.len());
                if status != 200 {
                    return Err(Error::Failed(format!("{page} was answered with {status}")));
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    let seen = |(page, (mut times, bytes)): (&&'static str, (Vec<u64>, usize))| {
        times.sort_unstable();
        Seen { page, times: times.len(), bytes, p50_us: times[times.len() / 2], p99_us: times[times.len() * 99 / 100] }
    };
    Ok(PAGES.iter().zip(took).map(seen).collect())
}

/// A page, asked for again when it was asked for too soon; and when it was asked for last.
async fn get(http: &reqwest::Client, url: &str, cookie: Option<&str>) -> Result<(Response, Instant), Error> {
    loop {
        let asked = clock::instant();
        let request = cookie.into_iter().fold(http.get(url), |request, cookie| request.header(COOKIE, cookie));
        let answer = request.send().await.map_err(Error::failed)?;
        if answer.status() != StatusCode::TOO_MANY_REQUESTS {
            return Ok((answer, asked));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The cookie of a page that was just opened.
async fn open(app: &mut Client, http: &reqwest::Client, member: &str) -> Result<String, Error> {
    let unexpected = |what: &str| Error::Failed(format!("a member's page was not opened: {what}"));
    let ask = Ask::post("/v1/member-sessions", None, json!({ "member_ref": member }).to_string());
    let answer = app.ask(&ask).await;
    let made: Value = serde_json::from_slice(&answer.body).map_err(Error::failed)?;
    let Some(url) = made["url"].as_str() else { return Err(unexpected(&made.to_string())) };
    let (opened, _) = get(http, url, None).await?;
    if !opened.headers().contains_key(LOCATION) {
        return Err(unexpected(opened.status().as_str()));
    }
    let all = opened.headers().get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs: Vec<&str> = all.filter_map(|cookie| cookie.split(';').next()).collect();
    if pairs.is_empty() { Err(unexpected("no cookie")) } else { Ok(pairs.join("; ")) }
}
