//! A real browser without a window, driven over its DevTools socket.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Long, because a browser on a machine that is busy takes its time.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Chromium {
    process: Child,
    profile: PathBuf,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    last: u64,
    /// What the page complained of: errors of scripts, and what its policy refused.
    complaints: Vec<String>,
}

/// Where there is one: `UNWEDGE_CHROMIUM`, or where Debian puts it.
pub(crate) fn installed() -> Option<PathBuf> {
    let named = std::env::var_os("UNWEDGE_CHROMIUM").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from("/usr/bin/chromium")).filter(|path| path.exists()))
}

impl Chromium {
    /// An empty page.
    pub(crate) async fn start(program: PathBuf) -> Chromium {
        let profile = std::env::temp_dir().join(format!("unwedge-chromium-{}", std::process::id()));
        std::fs::create_dir_all(&profile).expect("a directory of its own");
        let mut process = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--no-proxy-server"])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the browser starts");
        let mut said = BufReader::new(process.stderr.take().expect("was piped")).lines();
        let url = timeout(LIMIT, async {
            while let Some(line) = said.next_line().await.expect("text") {
                if let Some((_, url)) = line.split_once("DevTools listening on ") {
                    return url.to_owned();
                }
            }
            panic!("the browser ended at once");
        });
        let url = url.await.expect("the browser says where it listens");
        // Nobody reads on, and a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("its socket");
        let mut chromium =
            Chromium { process, profile, socket, session: None, last: 0, complaints: Vec::new() };
        let target = chromium.ask("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = chromium.ask("Target.attachToTarget", attach).await;
        chromium.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            chromium.ask(domain, json!({})).await;
        }
        chromium
    }

    /// One command of the DevTools protocol, and its result.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(command.to_string())).await.expect("the browser listens");
        let answer = timeout(LIMIT, async {
            loop {
                let message = self.socket.next().await.expect("the browser is there").expect("a message");
                let Message::Text(text) = message else { continue };
                let mut message: Value = serde_json::from_str(&text).expect("JSON");
                if message["id"] == self.last {
                    assert!(message["error"].is_null(), "{method}: {message}");
                    return message["result"].take();
                }
                let method = message["method"].as_str().unwrap_or_default();
                if method == "Log.entryAdded" || method == "Runtime.exceptionThrown" {
                    self.complaints.push(message["params"].to_string());
                }
            }
        });
        answer.await.unwrap_or_else(|_| panic!("no answer to {method}"))
    }

    pub(crate) async fn open(&mut self, url: &str) {
        self.ask("Page.navigate", json!({ "url": url })).await;
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'").await;
    }

    /// The value of an expression in the page.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.ask("Runtime.evaluate", params).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.value(&format!("!!({expression})")).await != true {
            if began.elapsed() > LIMIT {
                let page = self.value("document.body.innerText").await;
                panic!("never true: {expression}\n{}", page.as_str().unwrap_or_default());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// As wide as a phone, or a screen.
    pub(crate) async fn width(&mut self, width: u32) {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", size).await;
    }

    pub(crate) async fn prefers(&mut self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.ask("Emulation.setEmulatedMedia", features).await;
    }

    pub(crate) async fn press_tab(&mut self) {
        for kind in ["rawKeyDown", "keyUp"] {
            let key = json!({ "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 });
            self.ask("Input.dispatchKeyEvent", key).await;
        }
    }

    /// A PNG of the whole page, in base 64.
    pub(crate) async fn picture(&mut self) -> String {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.ask("Page.captureScreenshot", whole).await;
        picture["data"].as_str().expect("a picture").to_owned()
    }

    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    pub(crate) async fn close(mut self) {
        self.session = None;
        self.ask("Browser.close", json!({})).await;
        timeout(LIMIT, self.process.wait()).await.expect("it ends").expect("a status");
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
