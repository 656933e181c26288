//! Addresses we may call: those of the public internet, and the networks that a configuration names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that share their first bits, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    /// An address, `/` and how many of its bits count; the others must be 0, so that nobody allows what they did not mean.
    fn from_str(text: &str) -> Result<Network, NotANetwork> {
        let (address, prefix) = text.split_once('/').ok_or(NotANetwork)?;
        let first: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let plain = (1..=3).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u8 = plain.then(|| prefix.parse().ok()).flatten().ok_or(NotANetwork)?;
        let network = Network { first, prefix };
        let (width, bits) = bits(first);
        let whole = prefix <= width && masked(bits, width, prefix) == bits;
        if whole { Ok(network) } else { Err(NotANetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        let ((width, own), (other, bits)) = (bits(self.first), bits(address));
        width == other && masked(bits, width, self.prefix) == own
    }
}

/// How many bits an address has, and they, at the low end.
fn bits(address: IpAddr) -> (u8, u128) {
    match address {
        IpAddr::V4(v4) => (32, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (128, v6.to_bits()),
    }
}

fn masked(bits: u128, width: u8, prefix: u8) -> u128 {
    let low = u32::from(width - prefix);
    // A shift by all 128 bits leaves nothing.
    bits.checked_shr(low).and_then(|high| high.checked_shl(low)).unwrap_or(0)
}

/// IPv4 networks that are not the public internet (IANA's special-purpose registry, multicast, and what is reserved).
const SPECIAL_V4: [([u8; 4], u8); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Inside 2000::/3, the only part of IPv6 that is given out: protocol assignments with Teredo, documentation, 6to4.
const SPECIAL_V6: [([u16; 2], u8); 4] =
    [([0x2001, 0], 23), ([0x2001, 0x0db8], 32), ([0x2002, 0], 16), ([0x3fff, 0], 20)];

/// Whether an address is one of the public internet. IPv4 inside IPv6 never is, however it is wrapped.
pub fn is_public(address: IpAddr) -> bool {
    let inside = |first: IpAddr, prefix| Network { first, prefix }.contains(address);
    match address {
        IpAddr::V4(_) => {
            !SPECIAL_V4.iter().any(|([a, b, c, d], prefix)| inside(Ipv4Addr::new(*a, *b, *c, *d).into(), *prefix))
        }
        IpAddr::V6(_) => {
            inside(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0).into(), 3)
                && !SPECIAL_V6
                    .iter()
                    .any(|([a, b], prefix)| inside(Ipv6Addr::new(*a, *b, 0, 0, 0, 0, 0, 0).into(), *prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_and_its_leading_bits() {
        let network = |text: &str| text.parse::<Network>();
        let lan = network("192.168.4.0/22").expect("a network");
        assert_eq!(lan.to_string(), "192.168.4.0/22");
        let inside = |text: &str| lan.contains(text.parse().expect("an address"));
        assert!(
            inside("192.168.4.0") && inside("192.168.7.255") && !inside("192.168.8.0") && !inside("::ffff:192.168.4.1")
        );
        assert!(network("0.0.0.0/0").expect("all").contains(Ipv4Addr::BROADCAST.into()));
        assert!(network("::/0").expect("all").contains(Ipv6Addr::LOCALHOST.into()));
        assert!(network("::1/128").expect("one").contains(Ipv6Addr::LOCALHOST.into()));
        for bad in ["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10/8", "::/129", "a/8"]
        {
            assert_eq!(network(bad), Err(NotANetwork), "{bad}");
        }
    }

    #[test]
    fn what_is_not_the_public_internet_is_known() {
        let public = |text: &str| is_public(text.parse().expect("an address"));
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "2001::1",
            "2001:1::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "3fff:fff::1",
            "100::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "5f00::1",
            "ff02::1",
        ] {
            assert!(!public(special), "{special}");
        }
        for good in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.128.0.0",
            "172.32.0.0",
            "192.169.0.0",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2400:3200::1",
            "2001:200::1",
            "3ffe::1",
        ] {
            assert!(public(good), "{good}");
        }
    }
}
