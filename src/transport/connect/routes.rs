//! Which addresses of a name this machine has a way to, and whether it could ask for them.

use crate::error::of_this_machine;
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

/// Why a look-up failed. Without a descriptor the system can neither read who to ask nor ask, and says that there is no
/// such name. A sandbox that permits no such socket, or an address that is missing, is no reason to doubt what it says.
pub(super) fn lacking(said: io::Error, open: impl Fn() -> io::Result<UdpSocket>) -> io::Error {
    use io::ErrorKind as Io;
    let other =
        [Io::PermissionDenied, Io::AddrNotAvailable, Io::AddrInUse, Io::NetworkUnreachable, Io::NetworkDown];
    match open() {
        Err(lack) if of_this_machine(&lack).is_some() && !other.contains(&lack.kind()) => lack,
        _ => said,
    }
}

pub(super) fn a_socket() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).or_else(|_| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)))
}

/// Any port will do.
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{BoxError, Error};

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
    fn a_name_that_is_unknown_for_want_of_a_descriptor_says_nothing_about_the_name() {
        let unknown = || io::Error::other("failed to lookup address information: Name or service not known");
        let read = |said| Error::from(BoxError::from(said));
        let poor = read(lacking(unknown(), || Err(io::Error::from_raw_os_error(24))));
        assert!(poor.is_of_this_machine(), "{poor}");
        let rich = read(lacking(unknown(), a_socket));
        assert!(!rich.is_of_this_machine() && rich.to_string().contains("not known"), "{rich}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn where_such_sockets_are_not_permitted_a_name_that_is_unknown_is_unknown() {
        let unknown = || io::Error::other("failed to lookup address information: Name or service not known");
        let read = |code| {
            Error::from(BoxError::from(lacking(unknown(), || Err(io::Error::from_raw_os_error(code)))))
        };
        // EPERM, EACCES, EAFNOSUPPORT, EADDRINUSE, EADDRNOTAVAIL, ENETDOWN, ENETUNREACH.
        for code in [1, 13, 97, 98, 99, 100, 101] {
            let said = read(code);
            assert!(!said.inner().fault.local && said.to_string().contains("not known"), "{code}: {said}");
        }
        // ENOMEM, ENFILE, EMFILE, ENOBUFS.
        for code in [12, 23, 24, 105] {
            assert!(read(code).inner().fault.local, "{code}");
        }
    }

    #[test]
    fn there_is_a_route_to_this_machine() {
        assert!(has_route(&"127.0.0.1:0".parse().unwrap()));
    }
}
