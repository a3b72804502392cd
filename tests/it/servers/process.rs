//! nginx, haproxy and nghttpd as Debian has them, on free ports of loopback, with a configuration in a directory of their own.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// No server lives longer, even where its test is killed: `timeout` of coreutils stands above it.
const LIFE: &str = "120";
/// How long it may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// A port that was free may be taken a moment later.
const STARTS: u32 = 5;

/// Where there is one: `UNWEDGE_NGINX`, or where Debian puts it.
pub(crate) fn nginx() -> Option<PathBuf> {
    program("UNWEDGE_NGINX", "/usr/sbin/nginx")
}

/// Where there is one: `UNWEDGE_HAPROXY`, or where Debian puts it.
pub(crate) fn haproxy() -> Option<PathBuf> {
    program("UNWEDGE_HAPROXY", "/usr/sbin/haproxy")
}

/// Where there is one: `UNWEDGE_NGHTTPD`, or where Debian puts it.
pub(crate) fn nghttpd() -> Option<PathBuf> {
    program("UNWEDGE_NGHTTPD", "/usr/sbin/nghttpd")
}

fn program(variable: &str, place: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(place)).filter(|path| path.exists()))
}

/// A server that runs, a port for each client. Dropping it ends it and its workers, by their own ids.
pub(crate) struct Server {
    pub(crate) ports: Vec<u16>,
    dir: PathBuf,
    above: Child,
    pid_file: PathBuf,
}

/// What is written into the configuration of an nginx.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) http2: bool,
    pub(crate) workers: u32,
    /// Inside `http`.
    pub(crate) http: &'a str,
    /// Inside each `server`.
    pub(crate) server: &'a str,
}

impl Server {
    /// An nginx with so many ports. All of it answers 200 but what the site says otherwise.
    pub(crate) async fn nginx(site: Site<'_>, ports: usize) -> Server {
        let program = nginx().expect("asked for before");
        Server::start("nginx", ports, |dir, ports| {
            let dir = dir.display();
            let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|what| format!("{what}_temp_path {dir}/{what};\n"))
                .concat();
            let protocol = if site.http2 { " http2" } else { "" };
            let servers: String = ports
                .iter()
                .map(|port| {
                    format!(
                        "server {{ listen 127.0.0.1:{port}{protocol} backlog=1024;\n{}\n}}\n",
                        site.server
                    )
                })
                .collect();
            let text = format!(
                "daemon off;\nworker_processes {};\npid {dir}/pid;\nerror_log {dir}/error.log;\n\
                 events {{ worker_connections 2048; }}\n\
                 http {{\naccess_log off;\n{temp}{}\n{servers}}}\n",
                site.workers, site.http
            );
            fs::write(format!("{dir}/nginx.conf"), text).expect("a configuration is written");
            let mut command = above();
            command.arg(&program).args(["-p", &format!("{dir}/"), "-c", &format!("{dir}/nginx.conf")]);
            command.args(["-e", &format!("{dir}/error.log")]);
            command
        })
        .await
    }

    /// A haproxy that speaks HTTP/2 to the server behind it, and on its own ports where that is wanted.
    pub(crate) async fn haproxy(behind: u16, http2: bool, ports: usize) -> Server {
        let program = haproxy().expect("asked for before");
        Server::start("haproxy", ports, |dir, ports| {
            let protocol = if http2 { " proto h2" } else { "" };
            let bind = |port| format!("bind 127.0.0.1:{port}{protocol}\n");
            let binds: String = ports.iter().map(bind).collect();
            let text = format!(
                "defaults\nmode http\ntimeout connect 2s\ntimeout client 10s\ntimeout server 10s\n\
                 frontend all\n{binds}default_backend one\n\
                 backend one\nserver nginx 127.0.0.1:{behind} proto h2\n"
            );
            let dir = dir.display();
            fs::write(format!("{dir}/haproxy.cfg"), text).expect("a configuration is written");
            let mut command = above();
            command.arg(&program).args([
                "-W",
                "-f",
                &format!("{dir}/haproxy.cfg"),
                "-p",
                &format!("{dir}/pid"),
            ]);
            command
        })
        .await
    }

    /// One nghttpd, which speaks HTTP/2 alone and has one port. It sends back what is uploaded.
    pub(crate) async fn nghttpd(arguments: &[&str]) -> Server {
        let program = nghttpd().expect("asked for before");
        Server::start("nghttpd", 1, |dir, ports| {
            fs::write(dir.join("good"), "good").expect("a page is written");
            // It writes no file with its id, and nobody sends it signals.
            fs::write(dir.join("pid"), "").expect("a file is written");
            let mut command = above();
            command.arg(&program).args(["--no-tls", "--address=127.0.0.1", "--echo-upload", "-d"]);
            command.arg(dir).args(arguments).arg(ports[0].to_string());
            command
        })
        .await
    }

    async fn start(name: &str, count: usize, made: impl Fn(&PathBuf, &[u16]) -> Command) -> Server {
        let mut said = String::new();
        for _ in 0..STARTS {
            let ports = free(count);
            let dir =
                std::env::temp_dir().join(format!("unwedge-{name}-{}-{}", std::process::id(), ports[0]));
            fs::create_dir_all(&dir).expect("a directory of its own");
            let log = fs::File::create(dir.join("said")).expect("a file of its own");
            let mut command = made(&dir, &ports);
            command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
            let above = command.spawn().expect("timeout of coreutils is there");
            let pid_file = dir.join("pid");
            let mut server = Server { ports, dir, above, pid_file };
            if server.listens().await {
                return server;
            }
            said = ["said", "error.log"]
                .map(|file| fs::read_to_string(server.dir.join(file)).unwrap_or_default())
                .concat();
        }
        panic!("{name} does not start: {said}");
    }

    /// Whether it listens on all ports before it ends or takes too long.
    async fn listens(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE && self.above.try_wait().is_ok_and(|ended| ended.is_none()) {
            let open = |port: &u16| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
            if self.pid_file.exists() && self.ports.iter().all(open) {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// The process that reads signals, beneath `timeout`.
    pub(crate) fn master(&self) -> u32 {
        let text = fs::read_to_string(&self.pid_file).expect("a server writes its id");
        text.split_whitespace().next().and_then(|id| id.parse().ok()).expect("the id of a process")
    }

    /// The processes that answer.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let master = self.master();
        let text = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
    }

    /// So many workers, once all of them are there: it answers as soon as one is.
    pub(crate) async fn forked(&self, wanted: usize) -> Vec<u32> {
        for _ in 0..500 {
            let workers = self.workers();
            if workers.len() == wanted {
                return workers;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("not {wanted} workers: {:?}", self.workers());
    }
}

/// What ends whatever comes after it, should nobody else do so. The group is its own, workers are in it.
fn above() -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIFE]);
    command
}

/// Sends a signal to this process alone.
pub(crate) fn signal(name: &str, id: u32) {
    let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status();
    assert!(sent.expect("kill can be run").success(), "{name} for {id}");
}

fn free(count: usize) -> Vec<u16> {
    let all: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    all.iter().map(|one| one.local_addr().expect("it is bound").port()).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = self.above.id();
        let ended = |child: &mut Child| child.try_wait().is_ok_and(|ended| ended.is_some());
        let _ = Command::new("kill").args(["-TERM", &id.to_string()]).stderr(Stdio::null()).status();
        let began = Instant::now();
        while !ended(&mut self.above) && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Whoever did not end by then: the whole group.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).stderr(Stdio::null()).status();
        let _ = self.above.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
