//! Queries, lists and ids in addresses, read as strictly as bodies.

use super::problem::Problem;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::future::{Ready, ready};
use std::str::FromStr;
use utoipa::ToSchema;

/// The query of the address; `T` denies unknown fields itself.
#[derive(Debug)]
pub struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequest for StrictQuery<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.query_string()).map(StrictQuery))
    }
}

fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let parsed = actix_web::web::Query::<T>::from_query(query).map_err(|error| {
        // Our own words: the parser's name types of ours. A name in backquotes is a parameter's.
        let said = error.to_string();
        let name = said.split('`').nth(1).unwrap_or_default().to_owned();
        let detail = if said.contains("unknown field") {
            "is not a parameter here"
        } else if said.contains("missing field") {
            "is required"
        } else if said.contains("duplicate field") {
            "occurs twice"
        } else {
            return Problem::field(format!("?{}", misspelt::<T>(query)), "has a value that is not of its form");
        };
        Problem::field(format!("?{name}"), detail)
    });
    let parsed = parsed?.into_inner();
    // PostgreSQL has no zero character, and no field of ours has a control character.
    let control = |text: &str| text.contains('\0') || text.chars().any(char::is_control);
    if control(query) || has_escaped_control(query) {
        return Err(Problem::field("?", "must not have control characters"));
    }
    Ok(parsed)
}

/// The parameter without which the query could be read; empty when there is no such one.
fn misspelt<T: DeserializeOwned>(query: &str) -> &str {
    let pairs: Vec<&str> = query.split('&').collect();
    let is_to_blame = |at: &usize| {
        let rest = [&pairs[..*at], &pairs[at + 1..]].concat().join("&");
        actix_web::web::Query::<T>::from_query(&rest).is_ok()
    };
    let blamed = (0..pairs.len()).find(is_to_blame).map(|at| pairs[at]);
    blamed.and_then(|pair| pair.split('=').next()).unwrap_or_default()
}

/// `%00` to `%1F` and `%7F`.
fn has_escaped_control(query: &str) -> bool {
    query.as_bytes().windows(3).any(|part| {
        part[0] == b'%' && (matches!(part[1], b'0' | b'1') || (part[1] == b'7' && part[2].eq_ignore_ascii_case(&b'f')))
    })
}

/// Bytes of a cursor, decoded; ours are a few dozen.
const CURSOR_BYTES_MAX: usize = 384;

/// One page of a list: `?limit=&cursor=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// 1 to 200, 50 unless said.
    pub limit: i64,
    /// Where the page before ended, in the list's own terms.
    pub after: Option<String>,
}

impl Page {
    pub const LIMIT_MAX: u32 = 200;
    const LIMIT_USUAL: u32 = 50;

    pub fn new(limit: Option<u32>, cursor: Option<&str>) -> Result<Page, Problem> {
        let limit = limit.unwrap_or(Page::LIMIT_USUAL);
        if !(1..=Page::LIMIT_MAX).contains(&limit) {
            return Err(Problem::field("?limit", "must be 1 to 200"));
        }
        let after = cursor.map(|cursor| decode(cursor).ok_or_else(|| Problem::field("?cursor", "is not a cursor")));
        Ok(Page { limit: i64::from(limit), after: after.transpose()? })
    }

    /// The cursor in the list's own terms; `?cursor=` of another list is `invalid`.
    pub fn after<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        let parse = |text: &String| text.parse().map_err(|_| Problem::field("?cursor", "is not a cursor of this list"));
        self.after.as_ref().map(parse).transpose()
    }
}

/// For lists without filters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

impl PageQuery {
    pub fn page(&self) -> Result<Page, Problem> {
        Page::new(self.limit, self.cursor.as_deref())
    }
}

/// One page of a list as answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    pub items: Vec<T>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// `items` were read with a limit of `page.limit + 1`; `place` is what the next page starts after.
    pub fn new(mut items: Vec<T>, page: &Page, place: impl Fn(&T) -> String) -> List<T> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(place(last)));
        List { items, next_cursor }
    }
}

fn decode(cursor: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().filter(|bytes| (1..=CURSOR_BYTES_MAX).contains(&bytes.len()))?;
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

/// An id in an address: what is not of its form is not there.
pub fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Code;

    #[test]
    fn a_cursor_goes_round_and_a_wrong_one_is_refused() {
        let page = Page::new(Some(2), None).expect("a page");
        let list = List::new(vec![1, 2, 3], &page, |n: &i32| n.to_string());
        assert_eq!(list.items, [1, 2]);
        let next = Page::new(Some(2), list.next_cursor.as_deref()).expect("a page");
        assert_eq!(next.after::<i32>().expect("a number"), Some(2));
        assert!(List::new(vec![1, 2], &page, |n: &i32| n.to_string()).next_cursor.is_none());
        let long = "A".repeat(1_000);
        for (limit, cursor) in [
            (Some(0), None),
            (Some(201), None),
            (None, Some("é")),
            (None, Some("a=")),
            (None, Some("AA")),
            (None, Some("")),
            (None, Some(&*long)),
        ] {
            assert_eq!(Page::new(limit, cursor).expect_err("refused").code(), Code::Invalid);
        }
    }

    #[test]
    fn unknown_and_bad_parameters_are_invalid() {
        assert!(read::<PageQuery>("limit=5").is_ok());
        for query in ["limits=5", "limit=x", "limit=-1", "limit=1&limit=2", "cursor=a%00b"] {
            assert_eq!(read::<PageQuery>(query).expect_err(query).code(), Code::Invalid, "{query}");
        }
        assert_eq!(misspelt::<PageQuery>("cursor=a&limit=x"), "limit");
        assert_eq!(misspelt::<PageQuery>("limit=x&limits=1"), "", "two are wrong");
    }
}
