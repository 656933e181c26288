//! In which language a page is, and how numbers and times are written in it.

use crate::domain::catalogue::Name;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use std::convert::Infallible;
use std::fmt::Write;
use std::future::{Ready, ready};

/// Remembers what was chosen; it names nobody.
const COOKIE: &str = "hanse-lang";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    #[default]
    En,
    Zh,
}

impl Lang {
    pub fn parse(text: &str) -> Option<Lang> {
        match text {
            "en" => Some(Lang::En),
            "zh" => Some(Lang::Zh),
            _ => None,
        }
    }

    /// What was asked for in the address, chosen before, or what the browser likes best.
    pub fn of(request: &HttpRequest) -> Lang {
        let chosen = || request.cookie(COOKIE).and_then(|cookie| Lang::parse(cookie.value()));
        asked(request).or_else(chosen).unwrap_or_else(|| liked(request))
    }

    /// A cookie for a language that the address asks for.
    pub fn to_remember(request: &HttpRequest) -> Option<Cookie<'static>> {
        let lang = asked(request)?;
        let cookie = Cookie::build(COOKIE, lang.short()).path("/").same_site(SameSite::Lax).http_only(true);
        Some(cookie.max_age(actix_web::cookie::time::Duration::days(365)).finish())
    }

    pub fn short(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Zh => "zh",
        }
    }

    /// Of the two, the one that it is not.
    pub fn other(self) -> Lang {
        match self {
            Lang::En => Lang::Zh,
            Lang::Zh => Lang::En,
        }
    }

    /// As `lang` attributes name it (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Zh => "zh-Hans",
        }
    }

    pub fn name(self, name: &Name) -> &str {
        match self {
            Lang::En => &name.en,
            Lang::Zh => &name.zh,
        }
    }

    /// Grouped in threes: 12,345.
    pub fn number(self, value: i64) -> String {
        let digits = value.unsigned_abs().to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
        if value < 0 {
            text.push('−');
        }
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }

    /// A number with what it counts: `(one, many)` in English, which Chinese does not tell apart.
    pub fn counted(self, count: i64, (one, many): (&str, &str), zh: &str) -> String {
        let noun = match self {
            Lang::En if count == 1 => one,
            Lang::En => many,
            Lang::Zh => zh,
        };
        format!("{} {noun}", self.number(count))
    }

    pub fn so_many_points(self, count: i64) -> String {
        self.counted(count, ("point", "points"), "积分")
    }

    pub fn so_many_days(self, count: i64) -> String {
        self.counted(count, ("day", "days"), "天")
    }

    /// A length of time as people say it, in minutes, whole hours or days; never more than it is.
    pub fn span(self, seconds: i64) -> String {
        const HOUR: i64 = 3_600;
        match seconds {
            days if days > 48 * HOUR => self.so_many_days(days / (24 * HOUR)),
            hours if hours > 2 * HOUR && hours % HOUR == 0 => self.counted(hours / HOUR, ("hour", "hours"), "小时"),
            other => self.counted(other / 60, ("minute", "minutes"), "分钟"),
        }
    }

    /// Of two texts, the one in this language.
    pub fn pick(self, en: &'static str, zh: &'static str) -> &'static str {
        match self {
            Lang::En => en,
            Lang::Zh => zh,
        }
    }

    /// With its sign, as a change of a balance.
    pub fn change(self, value: i64) -> String {
        if value > 0 { format!("+{}", self.number(value)) } else { self.number(value) }
    }

    pub fn day(self, day: NaiveDate) -> String {
        match self {
            Lang::En => day.format("%-d %b %Y").to_string(),
            Lang::Zh => format!("{}年{}月{}日", day.year(), day.month(), day.day()),
        }
    }

    /// To the minute, in the alliance's zone.
    pub fn instant(self, at: DateTime<Utc>, zone: Tz) -> String {
        let local = at.with_timezone(&zone);
        let mut text = self.day(local.date_naive());
        // Writing to a text cannot fail.
        let _ = write!(text, " {}", local.format("%H:%M"));
        text
    }
}

impl FromRequest for Lang {
    type Error = actix_web::Error;
    type Future = Ready<Result<Lang, actix_web::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok::<_, Infallible>(Lang::of(request)).map_err(|never| match never {}))
    }
}

fn asked(request: &HttpRequest) -> Option<Lang> {
    let pair = request.query_string().split('&').find_map(|pair| pair.strip_prefix("lang="));
    pair.and_then(Lang::parse)
}

/// The first of the browser's languages that there is (RFC 9110 §12.5.4); browsers list them in order.
fn liked(request: &HttpRequest) -> Lang {
    let header = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let tags = header.unwrap_or_default().split(',').map(str::trim);
    let known = |tag: &str| match tag.get(..2)?.to_ascii_lowercase().as_str() {
        "en" => Some(Lang::En),
        "zh" => Some(Lang::Zh),
        _ => None,
    };
    tags.into_iter().find_map(known).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_address_comes_before_the_cookie_and_the_cookie_before_the_browser() {
        let browser =
            || TestRequest::default().insert_header((header::ACCEPT_LANGUAGE, "fr-FR, zh-CN;q=0.8, en;q=0.5"));
        let chosen = || browser().cookie(Cookie::new(COOKIE, "en"));
        assert_eq!(Lang::of(&browser().to_http_request()), Lang::Zh);
        assert_eq!(Lang::of(&chosen().to_http_request()), Lang::En);
        assert_eq!(Lang::of(&chosen().uri("/member?a=1&lang=zh").to_http_request()), Lang::Zh);
        assert_eq!(Lang::of(&chosen().uri("/member?lang=xx").to_http_request()), Lang::En);
        assert_eq!(Lang::of(&TestRequest::default().to_http_request()), Lang::En);
        assert!(Lang::to_remember(&browser().to_http_request()).is_none());
    }

    #[test]
    fn numbers_and_days_are_written_as_people_do() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 9).expect("a day");
        assert_eq!((Lang::En.number(1_234_567), Lang::Zh.number(-12)), ("1,234,567".to_owned(), "−12".to_owned()));
        assert_eq!((Lang::En.number(999), Lang::En.number(1_000)), ("999".to_owned(), "1,000".to_owned()));
        assert_eq!((Lang::En.change(74), Lang::En.change(0)), ("+74".to_owned(), "0".to_owned()));
        assert_eq!(
            (Lang::En.so_many_points(1), Lang::Zh.so_many_points(1)),
            ("1 point".to_owned(), "1 积分".to_owned())
        );
        assert_eq!(
            (Lang::En.so_many_points(2_000), Lang::En.so_many_days(0)),
            ("2,000 points".into(), "0 days".into())
        );
        for (seconds, en) in [
            (60, "1 minute"),
            (119, "1 minute"),
            (900, "15 minutes"),
            (7_200, "120 minutes"),
            (9_000, "150 minutes"),
            (86_400, "24 hours"),
            (172_800, "48 hours"),
            (259_199, "2 days"),
            (604_800, "7 days"),
        ] {
            assert_eq!(Lang::En.span(seconds), en);
        }
        assert_eq!(Lang::Zh.span(604_800), "7 天");
        assert_eq!((Lang::En.day(day), Lang::Zh.day(day)), ("9 Mar 2026".to_owned(), "2026年3月9日".to_owned()));
    }
}
