//! TCP, by hyper-util.

use crate::transport::connect::resolve::AnyResolver;
use hyper_util::client::legacy::connect::HttpConnector;
use std::time::Duration;

pub(in crate::transport) type Tcp = HttpConnector<AnyResolver>;

/// What an idle connection waits before it is probed, and between probes: shorter than the idle time-outs of the
/// middleboxes that forget connections, so that a dead peer is known within a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const PROBES: u32 = 3;
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up (Linux).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How long one address family has before the other is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

pub(in crate::transport) fn connector(resolver: AnyResolver, limit: Duration) -> Tcp {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    // Shared by the addresses of a name, so that a dead one leaves time for the next. A fifth longer than the connect
    // bound, because it is that one's error that says what happened.
    tcp.set_connect_timeout(Some(limit + limit / 5));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_keepalive_interval(Some(KEEP_ALIVE));
    tcp.set_keepalive_retries(Some(PROBES));
    tcp.set_happy_eyeballs_timeout(Some(HEAD_START));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    tcp
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::connect::resolve::Resolver;
    use tower_service::Service;

    #[tokio::test]
    async fn a_connection_is_probed_by_the_kernel_and_given_up_when_nothing_is_acknowledged() {
        const SEC: Duration = Duration::from_secs(1);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let mut tcp = connector(AnyResolver::new(Resolver::system()), SEC);
        let stream = tcp.call(url.parse().unwrap()).await.unwrap().into_inner();
        assert!(stream.nodelay().unwrap());
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            let probes = (
                socket.tcp_keepalive_time(),
                socket.tcp_keepalive_interval(),
                socket.tcp_keepalive_retries(),
            );
            assert_eq!((probes.0.unwrap(), probes.1.unwrap(), probes.2.unwrap()), (15 * SEC, 15 * SEC, 3));
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(30 * SEC));
        }
    }
}
