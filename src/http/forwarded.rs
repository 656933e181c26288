//! Whose a request is behind proxies that say so: the last address of `X-Forwarded-For` that none of ours has put there. What
//! stands before it anybody can have written (RFC 7239 §8.1).

use crate::domain::network::Network;
use actix_web::HttpRequest;
use actix_web::web::Data;
use std::net::{IpAddr, SocketAddr};

const NAME: &str = "x-forwarded-for";

/// Networks of the proxies that are believed; none unless they are named.
#[derive(Clone, Debug, Default)]
pub struct Proxies(pub Vec<Network>);

impl Proxies {
    fn is_ours(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }

    /// From the connection's own end backwards: each proxy of ours has put the address before it at the end.
    fn client<'a>(&self, peer: IpAddr, said: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer;
        for part in said.rev() {
            if !self.is_ours(client) {
                break;
            }
            // What is no address was not put there by a proxy that is set up well: it is the proxy's.
            let Some(before) = address(part.trim()) else { break };
            client = before;
        }
        client
    }
}

/// An address, with a port or without (RFC 7239 §6).
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// Whose request it is; `None` when its connection is gone.
pub fn client(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let Some(proxies) = request.app_data::<Data<Proxies>>() else { return Some(peer) };
    let lines: Vec<&str> = request.headers().get_all(NAME).filter_map(|line| line.to_str().ok()).collect();
    Some(proxies.client(peer, lines.iter().flat_map(|line| line.split(',')).collect::<Vec<_>>().into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_that_none_of_ours_has_is_whose_it_is() {
        let proxies = |texts: &[&str]| Proxies(texts.iter().map(|text| text.parse().expect("a network")).collect());
        let check = |ours: &[&str], peer: &str, said: &str, wanted: &str| {
            let found = proxies(ours).client(peer.parse().expect("an address"), said.split(','));
            assert_eq!(found.to_string(), wanted, "{peer} says {said:?}");
        };
        let ours = ["10.0.0.0/8", "fd00::/8"];
        // Nobody is believed unless named.
        check(&[], "10.0.0.1", "192.0.2.1", "10.0.0.1");
        check(&ours, "198.51.100.7", "192.0.2.1", "198.51.100.7");
        check(&ours, "10.0.0.1", "192.0.2.1", "192.0.2.1");
        check(&ours, "::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1");
        // What a client writes itself stands before what the proxy has seen.
        check(&ours, "10.0.0.1", "203.0.113.9, 192.0.2.1", "192.0.2.1");
        check(&ours, "10.0.0.1", "10.9.9.9, 192.0.2.1", "192.0.2.1");
        // Through two of ours, and from within.
        check(&ours, "10.0.0.1", "192.0.2.1, fd00::2", "192.0.2.1");
        check(&ours, "10.0.0.1", "10.3.3.3", "10.3.3.3");
        check(&ours, "10.0.0.1", "", "10.0.0.1");
        check(&ours, "10.0.0.1", "192.0.2.1, unknown", "10.0.0.1");
        for (text, wanted) in
            [("192.0.2.1:4711", "192.0.2.1"), ("[2001:db8::1]:80", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1")]
        {
            check(&ours, "10.0.0.1", text, wanted);
        }
    }
}
