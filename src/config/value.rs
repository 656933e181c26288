//! The types a setting may have: each reads itself from text and shows itself.

use super::source::Given;
use crate::domain::network::Network;
use serde_json::Value as Json;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

pub(super) trait Value: Sized {
    fn parse(given: &Given) -> Result<Self, String>;
    fn show(&self) -> Json;
}

/// Whether `n` is between two bounds, both included.
pub(super) fn within<N: PartialOrd + fmt::Display>(n: N, low: N, high: N) -> Result<(), String> {
    if n >= low && n <= high { Ok(()) } else { Err(format!("{n} is not between {low} and {high}")) }
}

macro_rules! whole_numbers {
    ($($kind:ty),*) => {$(
        impl Value for $kind {
            fn parse(given: &Given) -> Result<Self, String> {
                given.text.parse().map_err(|_| format!("{:?} is not a whole number in range", given.text))
            }

            fn show(&self) -> Json {
                Json::from(*self)
            }
        }
    )*};
}

whole_numbers!(u32, u64, usize);

impl Value for String {
    fn parse(given: &Given) -> Result<Self, String> {
        Ok(given.text.clone())
    }

    fn show(&self) -> Json {
        Json::from(self.as_str())
    }
}

impl Value for PathBuf {
    fn parse(given: &Given) -> Result<Self, String> {
        if given.text.is_empty() { Err("a path is wanted".to_owned()) } else { Ok(given.base.join(&given.text)) }
    }

    fn show(&self) -> Json {
        Json::from(self.to_string_lossy())
    }
}

impl Value for SocketAddr {
    fn parse(given: &Given) -> Result<Self, String> {
        given.text.parse().map_err(|_| format!("{:?} is not an address such as 127.0.0.1:8443", given.text))
    }

    fn show(&self) -> Json {
        Json::from(self.to_string())
    }
}

impl<T: Value> Value for Option<T> {
    fn parse(given: &Given) -> Result<Self, String> {
        T::parse(given).map(Some)
    }

    fn show(&self) -> Json {
        self.as_ref().map_or(Json::Null, Value::show)
    }
}

/// Networks, with commas between them where they are one text.
impl Value for Vec<Network> {
    fn parse(given: &Given) -> Result<Self, String> {
        let network = |text: &str| text.parse().map_err(|_| format!("{text:?} is not a network such as 10.0.0.0/8"));
        given.text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(network).collect()
    }

    fn show(&self) -> Json {
        self.iter().map(|network| Json::from(network.to_string())).collect()
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Human,
    Json,
}

impl Value for LogFormat {
    fn parse(given: &Given) -> Result<Self, String> {
        match given.text.as_str() {
            "auto" => Ok(LogFormat::Auto),
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("{other:?} is none of auto, human, json")),
        }
    }

    fn show(&self) -> Json {
        Json::from(match self {
            LogFormat::Auto => "auto",
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        })
    }
}

/// A libpq URL. Whatever prints it prints it without its password; only [`DatabaseUrl::expose`] does not.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blank(&self.0))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Value for DatabaseUrl {
    fn parse(given: &Given) -> Result<Self, String> {
        let known = ["postgresql://", "postgres://"].iter().any(|scheme| given.text.starts_with(scheme));
        // The text itself is not repeated: it may hold a password.
        if known { Ok(DatabaseUrl(given.text.clone())) } else { Err("not a postgresql:// URL".to_owned()) }
    }

    fn show(&self) -> Json {
        Json::from(self.to_string())
    }
}

/// Blanks the password of `scheme://user:password@host/name?password=…`.
fn blank(url: &str) -> String {
    let (place, query) = url.split_once('?').map_or((url, None), |(place, query)| (place, Some(query)));
    let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
    // The last `@`: an unescaped one inside a password must not show what follows it.
    let place = match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{scheme}://{name}:***@{host}"),
            None => place.to_owned(),
        },
        None => place.to_owned(),
    };
    let parameter = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if key.to_ascii_lowercase().contains("password") => format!("{key}=***"),
        Some(_) | None => pair.to_owned(),
    };
    match query {
        Some(query) => format!("{place}?{}", query.split('&').map(parameter).collect::<Vec<_>>().join("&")),
        None => place,
    }
}
