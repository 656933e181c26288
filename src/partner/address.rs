//! Where a partner may be called: an `https` URL in its usual spelling, and a dialled address of the public internet.
//!
//! A URL is judged when it is registered and again each time it is dialled; the address when it is dialled, so that a
//! name which meanwhile points elsewhere gains nothing. Private networks are called only where the configuration names
//! them.

use crate::domain::network::{Network, is_public};
use reqwest::Url;
use std::net::IpAddr;
use std::sync::Arc;

/// Characters of a URL.
pub const LENGTH_MAX: usize = 512;

/// Ports from 1024 on at which something else than HTTPS usually listens: databases, caches, queues, remote control.
const SERVICE_PORTS: [u16; 31] = [
    1080, 1433, 1521, 1883, 2049, 2181, 2375, 2376, 2379, 2380, 3128, 3306, 3389, 4369, 5432, 5433, 5672, 5900, 5984,
    5985, 6379, 6432, 7001, 8086, 9042, 9092, 9200, 9300, 10250, 11211, 27017,
];

/// Why a URL or an address is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it is not a URL in its usual spelling, at most 512 characters")]
    Form,
    #[error("it does not begin with https://")]
    Scheme,
    #[error("it carries a user name or a password")]
    UserInfo,
    #[error("it ends in a fragment")]
    Fragment,
    #[error("it has a query, to which nothing can be added")]
    Query,
    #[error("the host is not a plain name or address")]
    Host,
    #[error("port {0} is not called: 443, or 1024 and above where no other service is usual")]
    Port(u16),
    #[error("{0} is not an address of the public internet")]
    Address(IpAddr),
    #[error("{0:?} cannot be a part of a path")]
    Segment(String),
}

/// Which addresses beside the public ones may be called.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allow: Arc<[Network]>,
}

/// A URL that may be called, as far as it shows that itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    url: Url,
    host: String,
    port: u16,
}

impl Guard {
    /// `allow`: networks that are not public and may be called all the same.
    pub fn new(allow: &[Network]) -> Guard {
        Guard { allow: allow.into() }
    }

    pub fn allowed(&self) -> &[Network] {
        &self.allow
    }

    /// Judges an address that is about to be dialled.
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let permitted = is_public(address) || self.allow.iter().any(|network| network.contains(address));
        if permitted { Ok(()) } else { Err(Refused::Address(address)) }
    }

    /// Judges a URL; one that names an address is judged by that address too.
    pub fn parse(&self, text: &str) -> Result<Address, Refused> {
        let url = parse(text)?;
        if url.scheme() != "https" {
            return Err(Refused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
            return Err(Refused::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(Refused::Fragment);
        }
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        if port != 443 && (port < 1024 || SERVICE_PORTS.contains(&port)) {
            return Err(Refused::Port(port));
        }
        match host.parse() {
            Ok(address) => self.check(address)?,
            Err(_) if !is_name(&host) => return Err(Refused::Host),
            Err(_) => {}
        }
        Ok(Address { url, host, port })
    }
}

/// A URL as written must be the one it is read as: no other spelling of a number or a host, nothing left out.
fn parse(text: &str) -> Result<Url, Refused> {
    if text.len() > LENGTH_MAX {
        return Err(Refused::Form);
    }
    let url = Url::parse(text).map_err(|_| Refused::Form)?;
    let (usual, rest) = (url.as_str(), text.replacen(":443/", "/", 1));
    let same = [text, rest.as_str()].iter().any(|text| *text == usual || usual.strip_suffix('/') == Some(text));
    let with_port = usual.strip_suffix('/').is_some_and(|bare| text == format!("{bare}:443"));
    if same || with_port { Ok(url) } else { Err(Refused::Form) }
}

/// Names of the DNS: labels of letters, digits and hyphens, no dot at the end, which would be another spelling.
fn is_name(host: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain) && !label.starts_with('-');
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

impl Address {
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// A name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether another URL has the same host and port.
    pub fn is_at(&self, url: &str) -> bool {
        let same = |url: Url| url.host_str() == self.url.host_str() && url.port_or_known_default() == Some(self.port);
        Url::parse(url).is_ok_and(same)
    }

    /// As the `host` header has it.
    pub fn authority(&self) -> &str {
        self.url.authority()
    }

    /// What stands in the request's first line.
    pub fn path_and_query(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// The URL below this one, each segment written so that it stays one.
    pub fn below(&self, segments: &[&str]) -> Result<String, Refused> {
        if self.url.query().is_some() {
            return Err(Refused::Query);
        }
        let mut url = self.url.clone();
        let mut path = url.path_segments_mut().map_err(|()| Refused::Form)?;
        path.pop_if_empty();
        for segment in segments {
            // These two are steps, in any spelling.
            if segment.is_empty() || matches!(*segment, "." | "..") {
                return Err(Refused::Segment((*segment).to_owned()));
            }
            path.push(segment);
        }
        drop(path);
        Ok(url.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_called_in_one_spelling_alone() {
        let guard = Guard::default();
        for good in [
            "https://hooks.lumen.example/hanse",
            "https://hooks.lumen.example",
            "https://hooks.lumen.example/",
            "https://hooks.lumen.example:443/hanse",
            "https://hooks.lumen.example:443",
            "https://lumen.example:8443/a?token=b",
            "https://xn--fiqs8s.example/",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]:8443/",
        ] {
            assert!(guard.parse(good).is_ok(), "{good}: {:?}", guard.parse(good));
        }
        let check = |text: &str, why: Refused| assert_eq!(guard.parse(text), Err(why), "{text}");
        let loopback = || Refused::Address(IpAddr::from([127, 0, 0, 1]));
        check("https://127.0.0.1/", loopback());
        for spelled in
            ["2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1", "127.0.1", "127.0.0.1.", "１２７.0.0.1"]
        {
            check(&format!("https://{spelled}/"), Refused::Form);
        }
        for bad in [
            "",
            "hooks",
            "//lumen.example/",
            "https://",
            "https:lumen.example",
            "https:///lumen.example",
            "https://lumen.example/a b",
            "https://LUMEN.example/",
            "https://例.example/",
            "https://[::1%lo]/",
            "https://[::1%25lo]/",
            "https://lumen.example/../x",
            "https://lumen.example\\@x/",
            " https://lumen.example/",
            "https://lumen.example/\n",
        ] {
            check(bad, Refused::Form);
        }
        check(&format!("https://lumen.example/{}", "a".repeat(LENGTH_MAX)), Refused::Form);
        check("http://lumen.example/", Refused::Scheme);
        check("file:///etc/passwd", Refused::Scheme);
        check("https://lumen.example@127.0.0.1/", Refused::UserInfo);
        check("https://a:b@lumen.example/", Refused::UserInfo);
        check("https://lumen.example/#a", Refused::Fragment);
        check("https://lumen.example./", Refused::Host);
        check("https://lu$men.example/", Refused::Host);
        for port in [1, 22, 25, 80, 444, 1023, 3306, 5432, 6379, 9200, 11211] {
            check(&format!("https://lumen.example:{port}/"), Refused::Port(port));
        }
        check("https://[::1]/", Refused::Address(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])));
        for inside in ["[::ffff:7f00:1]", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "169.254.169.254", "0.0.0.0"] {
            assert!(matches!(guard.parse(&format!("https://{inside}/")), Err(Refused::Address(_))), "{inside}");
        }
    }

    #[test]
    fn a_private_network_is_called_only_where_it_is_named() {
        let guard = Guard::new(&["127.0.0.0/8".parse().expect("a network")]);
        assert!(guard.parse("https://127.0.0.1:9443/").is_ok());
        assert!(guard.check(IpAddr::from([127, 9, 9, 9])).is_ok());
        assert!(guard.parse("https://10.0.0.1:9443/").is_err() && guard.parse("https://[::1]:9443/").is_err());
        assert_eq!(guard.parse("https://127.0.0.1:22/"), Err(Refused::Port(22)));
    }

    #[test]
    fn a_segment_stays_one_segment() {
        let guard = Guard::default();
        let base = |text: &str| guard.parse(text).expect("an address");
        let below = base("https://lumen.example/api/").below(&["memberships", "a/b?c#d%2e é"]);
        let below = below.expect("a URL");
        assert_eq!(below, "https://lumen.example/api/memberships/a%2Fb%3Fc%23d%252e%20%C3%A9");
        let read = base(&below);
        assert_eq!((read.host(), read.port(), read.authority()), ("lumen.example", 443, "lumen.example"));
        assert_eq!(read.path_and_query(), "/api/memberships/a%2Fb%3Fc%23d%252e%20%C3%A9");
        assert_eq!(base("https://lumen.example").below(&["holds"]).as_deref(), Ok("https://lumen.example/holds"));
        for step in ["", ".", ".."] {
            assert_eq!(base("https://lumen.example/").below(&["a", step]), Err(Refused::Segment(step.to_owned())));
        }
        assert_eq!(base("https://lumen.example/?a").below(&["b"]), Err(Refused::Query));
    }
}
