//! TCP to one of the addresses of a name.
//!
//! hyper-util's connector tries the addresses of one family one after the other, each for its share of the time, and
//! remembers none that is dead: of ten addresses with a dead one in front, each connection took half a second longer at the
//! limit of 5 s. The socket is tokio's and its options are socket2's, as they are there.

use crate::deadline::Timer;
use crate::error::{BoxError, Error, ErrorKind, Phase};
use crate::sync::{Mutex, lock, shielded};
use crate::transport::connect::memory::Memory;
use crate::transport::connect::race::{Race, order};
use crate::transport::connect::resolve::AnyResolver;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::dns::Name;
use socket2::{SockRef, TcpKeepalive};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;

/// What an idle connection waits before it is probed, and between probes: shorter than the idle time-outs of the
/// middleboxes that forget connections, so that a dead peer is known within a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const PROBES: u32 = 3;
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up (Linux).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// The end of one connect, and how long it has had by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) ends: Instant,
    pub(super) limit: Duration,
}

/// Clones share what is known of dead addresses.
#[derive(Clone)]
pub(in crate::transport) struct Tcp {
    resolver: AnyResolver,
    memory: Arc<Mutex<Memory>>,
}

impl Tcp {
    pub(in crate::transport) fn new(resolver: AnyResolver) -> Tcp {
        Tcp { resolver, memory: Arc::default() }
    }

    /// To whoever answers first for the host of this URL.
    pub(super) async fn connect(&mut self, uri: &Uri, bound: Bound) -> Result<TcpStream, Error> {
        let addresses = self.addresses(uri).await?;
        let order = order(addresses, &lock(&self.memory), Instant::now());
        race(order, bound, &self.memory, open).await
    }

    /// The addresses of this host, as a URL has it. Their ports are the resolver's.
    pub(super) async fn look_up(&mut self, host: &str) -> Result<Vec<SocketAddr>, Error> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, 0)]);
        }
        let none = |why: String| Error::new(ErrorKind::Connect, why).at(Phase::Resolve);
        let name: Name = host.parse().map_err(|_| none(format!("the host {host:?} is no name")))?;
        poll_fn(|cx| self.resolver.poll_ready(cx)).await?;
        let addresses: Vec<SocketAddr> = self.resolver.call(name).await?.collect();
        if addresses.is_empty() {
            return Err(none(format!("the host {host:?} has no address")));
        }
        Ok(addresses)
    }

    async fn addresses(&mut self, uri: &Uri) -> Result<Vec<SocketAddr>, Error> {
        let mut addresses = self.look_up(uri.host().unwrap_or_default()).await?;
        let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        for address in &mut addresses {
            match uri.port_u16() {
                Some(port) => address.set_port(port),
                // A resolver of the user's may know better.
                None if address.port() == 0 => address.set_port(default),
                None => {}
            }
        }
        Ok(addresses)
    }
}

/// The first of these to be open. All others are dropped with that, and so closed.
async fn race<T, F>(
    order: Vec<SocketAddr>,
    bound: Bound,
    memory: &Mutex<Memory>,
    open: impl Fn(SocketAddr) -> F,
) -> Result<T, Error>
where
    F: Future<Output = io::Result<T>>,
{
    let mut race = Race::new(order, Instant::now());
    let mut opening: Vec<(SocketAddr, Pin<Box<F>>)> = Vec::new();
    let mut timer = pin!(Timer::default());
    let first = poll_fn(|cx| {
        let mut now = Instant::now();
        loop {
            if let Some(address) = race.start(now) {
                opening.push((address, Box::pin(open(address))));
            }
            let (mut n, before) = (0, opening.len());
            while n < opening.len() {
                match opening[n].1.as_mut().poll(cx) {
                    Poll::Ready(Ok(made)) => return Poll::Ready(Ok(Some((opening[n].0, made)))),
                    Poll::Ready(Err(error)) => race.failed(opening.remove(n).0, failed(error), now),
                    Poll::Pending => n += 1,
                }
            }
            if race.is_lost() {
                return Poll::Ready(Ok(None));
            }
            if opening.len() < before {
                continue;
            }
            let at = race.next().map_or(bound.ends, |next| next.min(bound.ends));
            match timer.as_mut().poll(at, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(no_clock)) => return Poll::Ready(Err(no_clock)),
                Poll::Ready(Ok(())) if at >= bound.ends => {
                    return Poll::Ready(Err(race.too_late(bound.limit)));
                }
                // The clock may read a moment less than what the timer was set to.
                Poll::Ready(Ok(())) => now = at.max(Instant::now()),
            }
        }
    });
    let first = first.await;
    drop(opening);
    let won = first.as_ref().ok().and_then(Option::as_ref).map(|(address, _)| *address);
    race.remember(won, &mut lock(memory), Instant::now());
    match first? {
        Some((_, made)) => Ok(made),
        None => Err(race.lost()),
    }
}

/// What one address said.
fn failed(error: io::Error) -> Error {
    let mut error = Error::from(BoxError::from(error)).at(Phase::Connect);
    error.inner_mut().kind = ErrorKind::Connect;
    error
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    #[expect(clippy::disallowed_methods, reason = "the connect limit stands around it")]
    let stream = TcpStream::connect(address).await?;
    // A connection without them is better than none.
    if let Err(error) = set(&stream) {
        shielded(|| tracing::debug!(%error, "a TCP option was not set"));
    }
    Ok(stream)
}

fn set(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(KEEP_ALIVE);
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_vendor = "apple",
        windows
    ))]
    let probes = probes.with_interval(KEEP_ALIVE).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::connect::resolve::Resolver;
    use std::sync::atomic::{AtomicU32, Ordering};

    const SEC: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn within(limit: Duration) -> Bound {
        Bound { ends: Instant::now() + limit, limit }
    }

    #[tokio::test]
    async fn a_connection_is_probed_by_the_kernel_and_given_up_when_nothing_is_acknowledged() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let mut tcp = Tcp::new(AnyResolver::new(Resolver::system()));
        let stream = tcp.connect(&url.parse().unwrap(), within(SEC)).await.unwrap();
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

    /// What a connect to 10.0.0.n comes to, and after how long; one that is not in here is silent.
    type Script = &'static [(u8, u64, Result<(), io::ErrorKind>)];

    fn at(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 80))
    }

    /// Counts the connects that are under way, as sockets are.
    struct Open(Arc<AtomicU32>);

    impl Drop for Open {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    struct Net {
        script: Script,
        begun: std::sync::Mutex<Vec<(u8, Duration)>>,
        open: Arc<AtomicU32>,
        memory: Mutex<Memory>,
    }

    impl Net {
        fn new(script: Script) -> Net {
            Net { script, begun: Default::default(), open: Default::default(), memory: Mutex::default() }
        }

        async fn connect(
            &self,
            addresses: impl IntoIterator<Item = u8>,
            limit: Duration,
        ) -> Result<u8, String> {
            let start = Instant::now();
            let order = order(addresses.into_iter().map(at).collect(), &lock(&self.memory), start);
            let connect = |address: SocketAddr| {
                let IpAddr::V4(ip) = address.ip() else { unreachable!() };
                let n = ip.octets()[3];
                self.begun.lock().unwrap().push((n, start.elapsed()));
                self.open.fetch_add(1, Ordering::Relaxed);
                let open = Open(Arc::clone(&self.open));
                async move {
                    let _open = open;
                    match self.script.iter().find(|(who, ..)| *who == n) {
                        None => std::future::pending().await,
                        Some((_, after, comes)) => {
                            tokio::time::sleep(Duration::from_millis(*after)).await;
                            comes.map(|()| n).map_err(io::Error::from)
                        }
                    }
                }
            };
            race(order, within(limit), &self.memory, connect).await.map_err(|error| error.to_string())
        }

        fn begun(&self) -> Vec<(u8, u64)> {
            let begun = std::mem::take(&mut *self.begun.lock().unwrap());
            begun.into_iter().map(|(n, after)| (n, after.as_millis() as u64)).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_family_are_tried_250_ms_apart_and_the_losers_are_closed() {
        let net = Net::new(&[(3, 10, Ok(()))]);
        let start = Instant::now();
        assert_eq!(net.connect([1, 2, 3, 4], 5 * SEC).await, Ok(3));
        assert_eq!((start.elapsed(), net.begun()), (510 * MS, vec![(1, 0), (2, 250), (3, 500)]));
        assert_eq!(net.open.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_hands_on_at_once_and_one_that_is_slow_may_still_win() {
        let net = Net::new(&[(1, 5, Err(io::ErrorKind::ConnectionRefused)), (2, 400, Ok(()))]);
        assert_eq!(net.connect([1, 2, 3], 5 * SEC).await, Ok(2));
        assert_eq!(net.begun(), [(1, 0), (2, 5), (3, 255)]);
        assert_eq!(net.connect([2, 3], 5 * SEC).await, Ok(2));
        assert_eq!(net.begun(), [(2, 0), (3, 250)], "the loser had less time: it is not known to be dead");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_the_first_connection_a_quarter_of_a_second_and_the_next_none_for_ten_minutes()
     {
        let net = Net::new(&[(2, 10, Ok(()))]);
        assert_eq!(net.connect([1, 2], 5 * SEC).await, Ok(2));
        assert_eq!(net.begun(), [(1, 0), (2, 250)]);
        for _ in 0..9 {
            tokio::time::advance(60 * SEC).await;
            assert_eq!(net.connect([1, 2], 5 * SEC).await, Ok(2));
            assert_eq!(net.begun(), [(2, 0)]);
        }
        tokio::time::advance(60 * SEC).await;
        net.connect([1, 2], 5 * SEC).await.unwrap();
        assert_eq!(net.begun(), [(1, 0), (2, 250)], "it is given another chance");
    }

    #[tokio::test(start_paused = true)]
    async fn silent_addresses_end_together_at_the_connect_limit() {
        let net = Net::new(&[]);
        let start = Instant::now();
        let said = net.connect(1..=200, 5 * SEC).await.unwrap_err();
        assert_eq!(start.elapsed(), 5 * SEC);
        assert_eq!(said, "no connection after 5 s (10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 16 more)");
        assert_eq!((net.begun().len(), net.open.load(Ordering::Relaxed)), (20, 0));
        assert_eq!(net.connect([1], SEC).await.unwrap_err(), "no connection after 1 s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_this_machine_lacks_is_not_held_against_an_address() {
        let net = Net::new(&[(1, 0, Err(io::ErrorKind::AddrNotAvailable)), (2, 0, Ok(()))]);
        for _ in 0..2 {
            assert_eq!(net.connect([1, 2], SEC).await, Ok(2));
            assert_eq!(net.begun(), [(1, 0), (2, 0)]);
        }
    }
}
