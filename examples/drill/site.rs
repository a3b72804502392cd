//! What the agent's connections lead to: a server, or some behind one address.

use crate::scenarios::{Place, Scenario, answer, answer_and_close, ms};
use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use unwedge::testing::Peer;

pub(crate) struct Site {
    peers: Vec<Peer>,
    balancer: Option<Balancer>,
}

/// Each connection leads to the next server. One that is not there ends it.
struct Balancer {
    listener: TcpListener,
    servers: Vec<SocketAddr>,
    ended: AtomicU64,
}

impl Site {
    /// Starts what this scenario needs, and says where it is. Its clock starts here.
    pub(crate) fn start(scenario: &Scenario) -> io::Result<(Site, SocketAddr)> {
        let peers: Vec<Peer> = match scenario.place {
            Place::Server | Place::Http2 => vec![scenario.peer(scenario.acts, answer)],
            Place::Replicas(all) => all.iter().map(|acts| scenario.peer(acts, answer_and_close)).collect(),
            #[cfg(unix)]
            Place::FewFiles => vec![scenario.peer(&[], answer_and_close)],
        };
        let servers = peers.iter().map(Peer::listen).collect::<io::Result<Vec<_>>>()?;
        if let ([server], true) = (&servers[..], peers.len() == 1) {
            let server = *server;
            return Ok((Site { peers, balancer: None }, server));
        }
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let addr = listener.local_addr()?;
        let balancer = Balancer { listener, servers, ended: AtomicU64::new(0) };
        Ok((Site { peers, balancer: Some(balancer) }, addr))
    }

    /// Hands connections on, where there is something to balance.
    pub(crate) async fn serve(&self) {
        if let Some(balancer) = &self.balancer {
            balancer.serve().await;
        }
    }

    /// Requests that arrived, and connections on which nobody ever read the one that was sent.
    pub(crate) fn requests(&self) -> u64 {
        let of = |peer: &Peer| {
            let arrived = peer.requests();
            let spoken: HashSet<u64> = arrived.iter().map(|request| request.connection).collect();
            peer.request_count() + peer.connections().saturating_sub(spoken.len() as u64)
        };
        let ended = self.balancer.as_ref().map_or(0, |balancer| balancer.ended.load(Ordering::Relaxed));
        self.peers.iter().map(of).sum::<u64>() + ended
    }
}

impl Balancer {
    async fn serve(&self) {
        let mut connections = JoinSet::new();
        for server in self.servers.iter().cycle() {
            let Ok((mut client, _)) = self.listener.accept().await else { continue };
            match connect(*server).await {
                Ok(mut server) => {
                    connections.spawn(async move { copy_bidirectional(&mut client, &mut server).await });
                }
                Err(_) => {
                    self.ended.fetch_add(1, Ordering::Relaxed);
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    #[allow(clippy::disallowed_methods, reason = "on this machine, and under a limit")]
    let connecting = TcpStream::connect(server);
    timeout(ms(250), connecting).await?
}
