//! One row of the comparison: a server in some trouble, four clients beside each other, and the verdict.

use super::descriptors;
use crate::servers::clients::{ALL, Caller, Which};
use crate::servers::load::{Load, Tally, offer};
use crate::servers::process::Server;
use futures_util::future::join_all;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::Once;
use tokio::sync::Mutex;

/// How many points ours may be below the better plain client.
const MARGIN: f64 = 3.0;

/// Rows are measured one after the other: they share two cores.
static TURN: Mutex<()> = Mutex::const_new(());

/// What the clients meet.
pub(crate) struct Front {
    pub(crate) http2: bool,
    /// One for each client.
    pub(crate) urls: Vec<String>,
    /// The same calls go there too, from the same clients, and are not counted.
    pub(crate) beside: Option<&'static str>,
    /// The clients run in processes that may open few files.
    pub(crate) few_files: bool,
    /// What happens meanwhile; it is dropped when all calls have ended.
    pub(crate) trouble: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// What lives as long as the row.
    pub(crate) servers: Vec<Box<dyn Any + Send>>,
}

impl Front {
    /// A server for each client, for those that listen on one port.
    pub(crate) fn of_each(servers: Vec<Server>, http2: bool) -> Front {
        let mut fronts = servers.into_iter().map(|server| Front::of(server, http2));
        let mut first = fronts.next().expect("a server for each client");
        for front in fronts {
            first.urls.extend(front.urls);
            first.servers.extend(front.servers);
        }
        first
    }

    /// A server on its own.
    pub(crate) fn of(server: Server, http2: bool) -> Front {
        let urls = server.ports.iter().map(|port| format!("http://127.0.0.1:{port}/good")).collect();
        let trouble = Box::pin(async {});
        Front { http2, urls, beside: None, few_files: false, trouble, servers: vec![Box::new(server)] }
    }
}

pub(crate) struct Shares {
    name: &'static str,
    all: Vec<(Which, Tally)>,
}

impl Shares {
    fn best_plain(&self) -> f64 {
        let plain = self.all.iter().filter(|(which, _)| !which.is_ours());
        plain.map(|(_, tally)| tally.share()).fold(0.0, f64::max)
    }

    fn is_worse(&self, judged: &[Which]) -> bool {
        let least = self.best_plain() - MARGIN;
        self.all.iter().any(|(which, tally)| judged.contains(which) && tally.share() < least)
    }

    pub(crate) fn of(&self, wanted: Which) -> &Tally {
        let found = self.all.iter().find(|(which, _)| *which == wanted);
        &found.expect("all four are measured").1
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<44}", self.name)?;
        for (which, tally) in &self.all {
            write!(f, "  {} {:.1} %", which.as_str(), tally.share())?;
        }
        write!(f, "  of {}", self.all.first().map_or(0, |(_, tally)| tally.offered))?;
        for (which, tally) in self.all.iter().filter(|(_, tally)| !tally.bad.is_empty()) {
            write!(f, "\n    {}: {:?}", which.as_str(), tally.bad)?;
        }
        Ok(())
    }
}

/// Measures; a row in which one of ours is behind is measured again before it counts.
pub(crate) async fn compare(name: &'static str, load: Load, front: impl AsyncFn() -> Front) -> Shares {
    compare_with(&[Which::Client, Which::Family], name, load, front).await
}

/// The same where chance alone decides what others of ours lose: only these are judged.
pub(crate) async fn compare_with(
    judged: &[Which],
    name: &'static str,
    load: Load,
    front: impl AsyncFn() -> Front,
) -> Shares {
    let _turn = TURN.lock().await;
    let first = measure(name, load, front().await).await;
    println!("{first}");
    if !first.is_worse(judged) {
        return first;
    }
    let again = measure(name, load, front().await).await;
    println!("again: {again}");
    assert!(
        !again.is_worse(judged),
        "more than {MARGIN} points below a plain client, twice:\n{first}\n{again}"
    );
    again
}

async fn measure(name: &'static str, load: Load, front: Front) -> Shares {
    let Front { http2, urls, beside, few_files, mut trouble, servers } = front;
    let offered = ALL.iter().zip(urls).map(async |(which, url)| {
        if few_files {
            return (*which, descriptors::offer_beyond(*which, load, &url).await);
        }
        let caller = Caller::new(*which, http2);
        let also = async {
            if let Some(path) = beside {
                offer(caller.clone(), load, url.replacen("/good", path, 1)).await;
            }
        };
        let (tally, ()) = tokio::join!(offer(caller.clone(), load, url.clone()), also);
        (*which, tally)
    });
    let mut offered = std::pin::pin!(join_all(offered));
    let mut over = false;
    let all = loop {
        tokio::select! {
            all = &mut offered => break all,
            () = &mut trouble, if !over => over = true,
        }
    };
    drop(servers);
    Shares { name, all }
}

/// What is missing for a row, said once in a way that the harness does not swallow.
pub(crate) fn skipped(why: &'static str) {
    static NGINX: Once = Once::new();
    static HAPROXY: Once = Once::new();
    static NGHTTPD: Once = Once::new();
    static SLOW: Once = Once::new();
    let once = match why {
        "no nginx" => &NGINX,
        "no haproxy" => &HAPROXY,
        "no nghttpd" => &NGHTTPD,
        _ => &SLOW,
    };
    once.call_once(|| {
        let _ = writeln!(std::io::stderr(), "skipped: {why}");
    });
}
