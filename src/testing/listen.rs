//! Peers on real sockets.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};

use super::script::Away;
use super::state::{Door, State};
use super::wire::Wire;

/// Connections that the kernel accepts ahead of us.
const BACKLOG: i32 = 1024;
/// Connections that fill a backlog of none.
const FILL: usize = 4;
/// Between two tries to accept or to bind after an error.
const PAUSE: Duration = Duration::from_millis(20);
/// Tries to get the port back; it was held all the time but for an instant.
const TRIES: u32 = 100;

/// A socket that holds an address without listening: the kernel refuses connections to it.
pub(super) fn hold(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    // Elsewhere the option would allow two listeners on one port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

pub(super) fn local_addr(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an internet address"))
}

/// A listener that never accepts and has no room left in its backlog, first, and the connections that fill it.
pub(super) fn black_hole(addr: SocketAddr) -> io::Result<Vec<Socket>> {
    let listener = hold(addr)?;
    // On Linux this leaves room for one connection; to those that find none the kernel does not answer.
    listener.listen(0)?;
    let addr = listener.local_addr()?;
    let mut sockets = vec![listener];
    for _ in 0..FILL {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        filler.set_nonblocking(true)?;
        // "In progress" is what is wanted.
        let _ = filler.connect(&addr);
        sockets.push(filler);
    }
    Ok(sockets)
}

fn open(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    TcpListener::from_std(StdListener::from(socket))
}

pub(super) fn start(state: &Arc<State>, addr: SocketAddr) -> io::Result<SocketAddr> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(io::Error::other("a peer can listen only inside of a tokio runtime"));
    }
    let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot listen on {addr}: {e}"));
    let socket = hold(addr).map_err(named)?;
    let addr = local_addr(&socket)?;
    // Checked here, so that a port in use is the caller's error even where binding alone does not show it.
    let away = matches!(state.away().0, Away::Now { .. });
    let socket = if away { Stand::Held(socket) } else { Stand::Open(open(socket).map_err(named)?) };
    state.spawn_listener(run(state.clone(), socket, addr));
    Ok(addr)
}

enum Stand {
    Held(Socket),
    Open(TcpListener),
}

/// Accepts while the script says that the server is there, and holds the port while it says that it is not.
async fn run(state: Arc<State>, mut stand: Stand, addr: SocketAddr) {
    loop {
        let changed = state.changed.notified();
        let (away, start) = state.away();
        let change = match away {
            Away::Now { until } => until,
            Away::From(t) => Some(t),
            Away::Not => None,
        };
        let change = change.and_then(|t| start.checked_add(t));
        let moved = match (stand, away) {
            (Stand::Open(listener), Away::Now { .. }) => {
                drop(listener);
                rebind(addr).await.map(Stand::Held)
            }
            (Stand::Held(socket), Away::From(_) | Away::Not) => open(socket).map(Stand::Open),
            (same, _) => Ok(same),
        };
        stand = match moved {
            Ok(stand) => stand,
            Err(e) => {
                tracing::error!(%addr, error = %e, "the peer lost its port and stays away");
                return;
            }
        };
        let news = either(until(change), changed);
        match &stand {
            Stand::Held(_) => news.await,
            Stand::Open(listener) => either(accept(&state, listener), news).await,
        }
    }
}

async fn rebind(addr: SocketAddr) -> io::Result<Socket> {
    let mut tries = 0;
    loop {
        tries += 1;
        match hold(addr) {
            Err(_) if tries < TRIES => sleep(PAUSE).await,
            result => return result,
        }
    }
}

async fn accept(state: &Arc<State>, listener: &TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely.
            sleep(PAUSE).await;
            continue;
        };
        state.knocked();
        let _ = stream.set_nodelay(true);
        let silent = match state.door() {
            Door::Refuse => {
                stream.reset();
                continue;
            }
            Door::Silent | Door::Hang => true,
            Door::Serve => false,
        };
        // One that is turned away is dropped.
        let _ = state.serve(stream, silent);
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Runs both until one ends.
async fn either(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if a.as_mut().poll(cx).is_ready() || b.as_mut().poll(cx).is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

impl Wire for TcpStream {
    type Io = TcpStream;

    fn io(&mut self) -> &mut TcpStream {
        self
    }

    async fn gone(&mut self) {
        loop {
            match self.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => {}
                _ => return,
            }
            // Unread data would make the socket ready again and again: say that it is not wanted, and be woken by
            // what comes next.
            let _ = self.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
    }

    fn reset(self) {
        let _ = SockRef::from(&self).set_linger(Some(Duration::ZERO));
    }
}
