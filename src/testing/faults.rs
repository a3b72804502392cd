//! Faults by name on real loopback sockets.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::Socket;

use super::{Cut, Peer, Reply, Script, listen};

const SECOND: Duration = Duration::from_secs(1);
const DAY: u64 = 86_400;

/// One way in which a server or a network fails.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its name, as [`FaultServer::start`] takes it.
    pub name: &'static str,
    /// What happens, in one line.
    pub about: &'static str,
    /// What one request meets.
    pub expect: Expect,
    play: Play,
}

/// What one request meets at a fault. A bounded client turns [`Refused`](Expect::Refused) and
/// [`Broken`](Expect::Broken) into an error at once, and [`NoHead`](Expect::NoHead) and [`NoEnd`](Expect::NoEnd) into
/// one at its deadline or sooner.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The connect is refused.
    Refused,
    /// No response head comes, or none that ends.
    NoHead,
    /// The head comes, the body never ends.
    NoEnd,
    /// The connection ends too early, or what comes is no HTTP or more of a head than a client should take (64 KiB,
    /// 100 informational responses).
    Broken,
    /// A whole response with this status.
    Status(u16),
    /// It depends on the time.
    Varies,
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Refused => f.write_str("no connection"),
            Expect::NoHead => f.write_str("no response head"),
            Expect::NoEnd => f.write_str("a head, and a body without end"),
            Expect::Broken => f.write_str("a broken response"),
            Expect::Status(status) => write!(f, "{status}"),
            Expect::Varies => f.write_str("one thing or another"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Play {
    Script(fn() -> Script),
    /// As `Script`, at an `https` address.
    Tls(fn() -> Script),
    Refused,
    BlackHole,
}

macro_rules! faults {
    ($($name:literal, $expect:expr, $about:literal, $play:expr;)*) => {
        &[$(Fault { name: $name, about: $about, expect: $expect, play: $play }),*]
    };
}

use Expect::{Broken, NoEnd, NoHead, Refused, Status, Varies};
use Play::Script as Plays;

#[rustfmt::skip]
static FAULTS: &[Fault] = faults! {
    // Before the request
    "refused", Refused, "nothing listens on the port", Play::Refused;
    "black-hole", NoHead, "the connect is never answered: the backlog is full and nobody accepts", Play::BlackHole;
    "accept-silence", NoHead, "accepts and never reads", Plays(|| Reply::silent().into());
    "reset-on-accept", Broken, "accepts and resets at once, which a client may see while it still connects", Plays(|| Script::new().times(u32::MAX, Reply::refuse()));
    "tls-stall", NoHead, "accepts and never answers the TLS handshake", Play::Tls(|| Reply::silent().into());
    "tls-plain", Broken, "answers the TLS handshake in plain HTTP", Play::Tls(|| Reply::ok("").into());
    // Instead of a head
    "no-answer", NoHead, "reads the request, then silence", Plays(|| Reply::hang().into());
    "close-before-head", Broken, "reads the request and closes", Plays(|| Reply::close().into());
    "reset-before-head", Broken, "reads the request and resets", Plays(|| Reply::reset().into());
    "garbage", Broken, "answers what is no HTTP", Plays(|| Reply::garbage().into());
    // In the head
    "half-head", NoHead, "half a head, then silence", Plays(|| Reply::ok("x").cut_head(20, Cut::Hang).into());
    "reset-mid-head", Broken, "half a head, then a reset", Plays(|| Reply::ok("x").cut_head(20, Cut::Reset).into());
    "slow-headers", NoHead, "a head of 4 KiB at one byte a second", Plays(|| Reply::ok("x").head_size(4096).slow_head(SECOND).into());
    "endless-headers", Broken, "header lines without end", Plays(|| Reply::endless_headers(Duration::ZERO).into());
    "huge-head", Broken, "a head of 96 KiB", Plays(|| Reply::ok("x").head_size(96 * 1024).into());
    "endless-1xx", Broken, "informational responses without end, as fast as they are read", Plays(|| Reply::endless_informational(Duration::ZERO).into());
    "slow-1xx", NoHead, "an informational response each second, without end", Plays(|| Reply::endless_informational(SECOND).into());
    // In the body
    "headers-stall", NoEnd, "the head, then silence", Plays(|| Reply::headers_then_hang().into());
    "body-stall", NoEnd, "half of the body, then silence", Plays(|| Reply::sized(100).hang_after(50).into());
    "drip", NoEnd, "a body of a day at one byte a second", Plays(|| Reply::sized(DAY).drip(1, SECOND).into());
    "drip-chunked", NoEnd, "a chunked body without end at one byte a second", Plays(|| Reply::endless().drip(1, SECOND).into());
    "endless-body", NoEnd, "a chunked body without end, as fast as it is read", Plays(|| Reply::endless().into());
    "truncated", Broken, "50 of 100 bytes, then a close", Plays(|| Reply::sized(100).truncate_after(50).into());
    "truncated-chunked", Broken, "a chunked body that closes without its end", Plays(|| Reply::sized(100).chunked().truncate_after(50).into());
    "reset-mid-body", Broken, "50 of 100 bytes, then a reset", Plays(|| Reply::sized(100).reset_after(50).into());
    "lying-length", Broken, "declares a TiB, sends 10 bytes and closes", Plays(|| Reply::sized(10).declare(1 << 40).into());
    "excess-body", Status(200), "declares 5 bytes and sends 500", Plays(|| Reply::sized(500).declare(5).into());
    "gzip-bomb", Status(200), "16 MiB of zeros in 16 KiB of gzip, asked for or not", Plays(|| Reply::ok(bomb()).header("content-encoding", "gzip").into());
    // Of a connection of HTTP/2, to clients that begin with its preface
    "h2-dead", NoHead, "reads the request, then nothing any more, not even a ping of HTTP/2", Plays(|| Reply::by(|_| Reply::silent()).into());
    "h2-refused-stream", Broken, "HTTP/2: refuses each stream; HTTP/1.1: resets", Plays(|| Reply::by(|_| Reply::refuse()).into());
    "h2-goaway", Broken, "HTTP/2: says goodbye below the first stream; HTTP/1.1: answers what is no HTTP", Plays(|| Reply::raw(GOAWAY).into());
    // Answers that need a decision
    "status-503", Status(503), "answers 503", Plays(|| Reply::status(503).into());
    "retry-after-day", Status(503), "answers 503 with Retry-After: 86400", Plays(|| Reply::status(503).retry_after("86400").into());
    "redirect-loop", Status(302), "redirects every path to /loop", Plays(|| Reply::redirect("/loop").into());
    "stale-keep-alive", Status(200), "each connection answers once and closes under its second request", Plays(|| Reply::ok("once").stale_on_next().into());
    "stale-at-once", Status(200), "each connection answers once and closes without having said so", Plays(|| Reply::ok("once").stale().into());
    "flapping", Varies, "1 s up, 1 s away, its port refusing", Plays(|| Script::new().flap((SECOND, Reply::ok("up")), (SECOND, Reply::refuse())));
};

/// GOAWAY of RFC 9113, section 6.8: no stream was processed, and nothing was wrong.
const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A few members of gzip in a row, each of 4 MiB of zeros: one block, whose code for the longest match is zero bits.
fn bomb() -> Vec<u8> {
    const MEMBERS: usize = 4;
    let mut member = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    member.extend(b"\xed\xc1\x01\x01\0\0\0\x82\x20\xff\xaf\x6e\x48\x40\x01");
    member.resize(member.len() + 4063, 0);
    member.extend(b"\x7c\x1b");
    member.extend(0x1147_406a_u32.to_le_bytes());
    member.extend((4_u32 << 20).to_le_bytes());
    member.repeat(MEMBERS)
}

impl Fault {
    /// All faults, in the order in which a request could meet them.
    #[must_use]
    pub fn all() -> &'static [Fault] {
        FAULTS
    }

    /// The fault of this name.
    ///
    /// # Errors
    ///
    /// Of kind `InvalidInput` when there is none; the message names those that there are.
    pub fn named(name: &str) -> io::Result<&'static Fault> {
        FAULTS.iter().find(|fault| fault.name == name).ok_or_else(|| {
            let known: Vec<_> = FAULTS.iter().map(|fault| fault.name).collect();
            let message = format!("unknown fault `{name}`; there are: {}", known.join(", "));
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

/// What a fault has seen since its start or the last reset. The kernel answers for `refused` and `black-hole`, and
/// tells nobody: their counts stay zero, as do those of `flapping` while it is away.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted connections.
    pub connections: u64,
    /// Requests whose head arrived.
    pub requests: u64,
}

/// Faults on real sockets of 127.0.0.1, one port each, for clients in any language.
///
/// Real time passes here: `start_paused` and sockets do not go together, use a [`Pipe`](super::Pipe) for that. The
/// black hole is exact on Linux; elsewhere the kernel may refuse instead. Dropping the server ends every connection.
///
/// ```
/// use unwedge::testing::FaultServer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let faults = FaultServer::start(&["drip", "refused"])?;
/// let url = faults.url("drip").expect("started above");
/// assert!(url.starts_with("http://127.0.0.1:"));
/// assert_eq!(faults.counts()[0].1.requests, 0);
/// assert!(FaultServer::start(&["no-such-fault"]).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "faults end when the server is dropped"]
#[doc(alias("toxiproxy", "fault_injection", "chaos"))]
pub struct FaultServer {
    playing: Vec<Playing>,
}

#[derive(Debug)]
struct Playing {
    fault: &'static Fault,
    url: String,
    source: Stage,
}

#[derive(Debug)]
enum Stage {
    Peer(Peer),
    Kernel { _sockets: Vec<Socket> },
}

impl FaultServer {
    /// Starts these faults; a name given twice counts once.
    ///
    /// # Errors
    ///
    /// Of kind `InvalidInput` for an unknown name, with the known ones in the message, before anything is started;
    /// when a port cannot be had; outside of a tokio runtime.
    pub fn start(names: &[impl AsRef<str>]) -> io::Result<FaultServer> {
        let mut wanted: Vec<&'static Fault> = Vec::new();
        for name in names {
            let fault = Fault::named(name.as_ref())?;
            if !wanted.iter().any(|known| known.name == fault.name) {
                wanted.push(fault);
            }
        }
        FaultServer::play(wanted)
    }

    /// Starts every fault.
    ///
    /// # Errors
    ///
    /// As [`start`](FaultServer::start).
    pub fn start_all() -> io::Result<FaultServer> {
        FaultServer::play(FAULTS.iter().collect())
    }

    fn play(faults: Vec<&'static Fault>) -> io::Result<FaultServer> {
        let playing = faults.into_iter().map(Playing::start).collect::<io::Result<_>>()?;
        Ok(FaultServer { playing })
    }

    /// The address of a fault, if it was started.
    #[must_use]
    pub fn url(&self, name: &str) -> Option<&str> {
        self.find(name).map(|playing| playing.url.as_str())
    }

    /// The faults that were started and their addresses.
    pub fn urls(&self) -> impl Iterator<Item = (&'static Fault, &str)> {
        self.playing.iter().map(|playing| (playing.fault, playing.url.as_str()))
    }

    /// What each fault has seen.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, Counts)> {
        self.playing.iter().map(|playing| (playing.fault.name, playing.counts())).collect()
    }

    /// The peer that plays a fault, with its record. There is none for `refused` and `black-hole`.
    #[must_use]
    pub fn peer(&self, name: &str) -> Option<&Peer> {
        self.find(name).and_then(Playing::peer)
    }

    /// All counts back to zero, clocks and scripts back to the start; open connections end, addresses stay.
    pub fn reset(&self) {
        self.playing.iter().filter_map(Playing::peer).for_each(Peer::reset);
    }

    fn find(&self, name: &str) -> Option<&Playing> {
        self.playing.iter().find(|playing| playing.fault.name == name)
    }
}

impl Playing {
    fn start(fault: &'static Fault) -> io::Result<Playing> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listening = |script: fn() -> Script| {
            let peer = Peer::from(script());
            peer.listen_on(free).map(|addr| (addr, Stage::Peer(peer)))
        };
        let (addr, source) = match fault.play {
            Play::Script(script) | Play::Tls(script) => listening(script)?,
            Play::Refused => {
                let socket = listen::hold(free)?;
                (listen::local_addr(&socket)?, Stage::Kernel { _sockets: vec![socket] })
            }
            Play::BlackHole => {
                let sockets = listen::black_hole(free)?;
                (listen::local_addr(&sockets[0])?, Stage::Kernel { _sockets: sockets })
            }
        };
        let scheme = if matches!(fault.play, Play::Tls(_)) { "https" } else { "http" };
        Ok(Playing { fault, url: format!("{scheme}://{addr}/"), source })
    }

    fn peer(&self) -> Option<&Peer> {
        match &self.source {
            Stage::Peer(peer) => Some(peer),
            Stage::Kernel { .. } => None,
        }
    }

    fn counts(&self) -> Counts {
        let counted =
            |peer: &Peer| Counts { connections: peer.connections(), requests: peer.request_count() };
        self.peer().map(counted).unwrap_or_default()
    }
}
