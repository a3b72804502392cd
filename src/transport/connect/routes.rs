//! Which addresses of a name this machine has a way to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Without the addresses to which this machine has no route, unless it has none to any. Of a server that refuses on the
/// one that can be reached the error would else be that of another, `network unreachable`, which is no fault of its own.
pub(super) fn reachable(all: Vec<SocketAddr>, has_route: impl Fn(&SocketAddr) -> bool) -> Vec<SocketAddr> {
    let some: Vec<_> = all.iter().copied().filter(|to| all.len() == 1 || has_route(to)).collect();
    if some.is_empty() { all } else { some }
}

/// Asks the routing table: a datagram socket that is connected sends nothing. Where there is no answer, as for the lack of
/// a descriptor, there may be a route.
pub(super) fn has_route(to: &SocketAddr) -> bool {
    use io::ErrorKind as Io;
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let asked = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((to.ip(), DISCARD)));
    !asked.is_err_and(|no| {
        let none = [Io::NetworkUnreachable, Io::HostUnreachable, Io::NetworkDown, Io::AddrNotAvailable];
        none.contains(&no.kind())
    })
}

/// Any port will do.
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_a_route_are_left_out_unless_there_is_no_other() {
        let four: SocketAddr = "192.0.2.1:0".parse().unwrap();
        let six: SocketAddr = "[2001:db8::1]:0".parse().unwrap();
        assert_eq!(reachable(vec![six, four], SocketAddr::is_ipv4), [four]);
        assert_eq!(reachable(vec![four, six], SocketAddr::is_ipv4), [four]);
        assert_eq!(reachable(vec![four, six], |_| true), [four, six]);
        assert_eq!(reachable(vec![six, four], |_| false), [six, four], "no network: its error says so");
        assert_eq!(reachable(vec![six], |_| unreachable!("nothing to choose from")), [six]);
        assert!(reachable(Vec::new(), |_| true).is_empty());
    }

    #[test]
    fn there_is_a_route_to_this_machine() {
        assert!(has_route(&"127.0.0.1:0".parse().unwrap()));
    }
}
