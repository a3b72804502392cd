//! TCP, by hyper-util.

use crate::transport::connect::resolve::Resolver;
use hyper_util::client::legacy::connect::HttpConnector;
use std::time::Duration;

pub(crate) type Tcp = HttpConnector<Resolver>;

/// What an idle connection waits before it is probed, and between probes: shorter than the idle time-outs of the
/// middleboxes that forget connections, so that a dead peer is known within a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const PROBES: u32 = 3;
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up (Linux).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How long one address family has before the other is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

pub(crate) fn connector(resolver: Resolver, limit: Duration) -> Tcp {
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
