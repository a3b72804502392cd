//! The status page in a real browser, where there is one.

use crate::chromium::{Chromium, installed};
use crate::support::{MINUTE, MS, SECOND, client};
use serde_json::json;
use std::future::pending;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use unwedge::admin::Admin;
use unwedge::queue::{self, Queue};
use unwedge::retry::{self, Backoff};
use unwedge::supervise::{Policy, Supervisor};
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{Body, Client, Limits, breaker, long_poll, sse};

const EVIL: &str = "<img src=x onerror=\"document.title='owned'\">";

/// A program with a bit of everything.
struct Platform {
    crew: Supervisor,
    client: Client,
    _peer: Peer,
    /// From then on the scheduler waits for an answer that never comes.
    wedge: Arc<Notify>,
}

/// Text from outside; in a picture it is one that nobody wonders about.
fn outside() -> &'static str {
    if std::env::var_os("UNWEDGE_PICTURES").is_some() { "eu-central-9" } else { EVIL }
}

fn platform() -> Platform {
    let peer = Peer::new()
        .on("/api/v1/alerts", Reply::hang())
        .on("/message", Reply::long_poll(10 * MINUTE))
        .on("/slow", Reply::hang())
        .on("/refused", Reply::status(503))
        .on("/down", Script::new().times(5, Reply::status(503)).forever(Reply::ok("")))
        .forever(Reply::ok(""));
    let settings = breaker::Settings::default().open(Backoff::constant(8 * SECOND)).half_open(1, 1);
    let client = client(&peer)
        .limits(Limits::default().total(10 * MINUTE).attempt(5 * MINUTE).idle(5 * MINUTE))
        .retry(retry::Settings::default().max_retries(0))
        .breaker(settings)
        .build()
        .unwrap();
    let mut crew = Supervisor::new();
    let wedge = Arc::new(Notify::new());

    crew.spawn("event relay", MINUTE, |heart| async move {
        loop {
            heart.progress();
            sleep(500 * MS).await;
        }
    });
    let (calls, wedged) = (client.clone(), Arc::clone(&wedge));
    crew.spawn("scheduler", SECOND, move |heart| {
        let (calls, wedged) = (calls.clone(), Arc::clone(&wedged));
        async move {
            let works = async {
                loop {
                    heart.progress();
                    sleep(100 * MS).await;
                }
            };
            tokio::select! { () = works => {} () = wedged.notified() => {} }
            let _ = calls.get("http://alerts.example/api/v1/alerts").send().await;
        }
    });
    let calls = client.clone();
    crew.spawn("channel manager", MINUTE, move |heart| {
        let calls = calls.clone();
        async move {
            let _parked = heart.parked("no job until the broker sends one");
            let poll = long_poll!("the broker parks GetMessage until a job arrives").up_to(9 * MINUTE);
            let _ = calls.get("http://broker.example/message").long_poll(poll).send().await;
        }
    });
    crew.patrol("health sweep", 10 * MINUTE, MINUTE, |_| async {});
    crew.spawn("liveness monitor", MINUTE, |heart| async move {
        heart.beat();
        sleep(300 * MS).await;
        panic!("tenant 7: no such region {}", outside());
    })
    .policy(Policy::default());
    crew.spawn(outside(), MINUTE, |heart| async move {
        let _parked = heart.parked(format!("no work for {}", outside()));
        pending::<()>().await;
    });
    Platform { crew, client, _peer: peer, wedge }
}

/// The text of the row of a list that begins with this name.
fn row(list: &str, name: &str) -> String {
    format!(
        "([...document.querySelectorAll('#{list} .row')].find(row => row.querySelector('.name').textContent.includes({name:?}))?.innerText ?? '')"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_in_a_browser_what_happens_while_it_happens() {
    let Some(program) = installed() else {
        println!("skipped: no chromium");
        return;
    };
    let Platform { crew, client, _peer, wedge } = platform();
    let queue = Queue::new(queue::Settings::default().name("incidents")).unwrap();
    queue.push("alpha", 1).unwrap();
    let work = beside(&client);
    let admin = Admin::new(&crew)
        .program("portal", "1.2.3")
        .breakers(client.breakers())
        .calls(client.in_flight())
        .expect(["event relay", "scheduler"], 3 * SECOND);
    let admin = admin.serve(0).await.unwrap();
    let url = format!("{}/admin", admin.url());
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(crew.run_until(async { ended.await.unwrap_or(()) }, MS));

    let mut page = Chromium::start(program).await;
    page.width(1000).await;
    page.prefers("light").await;
    page.open(&url).await;
    page.until("document.getElementById('news').textContent === 'live'").await;
    page.until(&format!("{}.includes('working')", row("subsystems", "scheduler"))).await;
    page.until("document.querySelector('.verdict').textContent.startsWith('Ready')").await;
    page.until("/^Ready.* \u{b7} portal 1.2.3 on .*, pid \\d+$/.test(document.title)").await;
    page.until("/^portal 1.2.3 host .+, pid \\d+, up \\d+ m?s/.test(document.querySelector('header').innerText.replace(/\\s+/g, ' '))").await;
    // Queues, event streams and processes stand beside the calls.
    page.until(&format!(
        "/oldest \\d+ m?s, expires at 10 m[^]*1 of 10000/.test({})",
        row("queues", "incidents")
    ))
    .await;
    page.until(&format!("/waiting|connecting/.test({})", row("streams", "prod-eu"))).await;
    page.until(&format!("/lost (once|\\d+ times)/.test({})", row("streams", "prod-eu"))).await;
    #[cfg(unix)]
    page.until(&format!("/running[^]*pid \\d+, /.test({})", row("processes", "/bin/sleep"))).await;
    page.until(&format!("{}.includes('no job until the broker sends one')", row("subsystems", "channel")))
        .await;
    page.until(&format!("{}.includes('parks GetMessage')", row("polls", "broker.example/message"))).await;

    // A subsystem goes stale, and its row says what it waits for.
    wedge.notify_one();
    page.until(&format!(
        "/stale[^]*no progress for \\d+ s; in GET http:..alerts.example/.test({})",
        row("subsystems", "scheduler")
    ))
    .await;
    page.until("document.querySelector('.verdict').textContent === 'Not ready: scheduler makes no progress, in GET http://alerts.example/api/v1/alerts'").await;
    page.until(&format!("{}.includes('which is stale and hangs here')", row("calls", "alerts.example")))
        .await;
    let red = "[...document.querySelectorAll('#calls .row')].find(row => row.innerText.includes('alerts.example')).classList.contains('bad')";
    page.until(red).await;

    // A circuit opens, and closes again.
    for _ in 0..5 {
        assert_eq!(client.get("http://api.example/down").send().await.unwrap().status(), 503);
    }
    let circuit = row("breakers", "api.example");
    page.until(&format!("/open[^]*refuses calls/.test({circuit})")).await;
    page.until(&format!("{circuit}.includes('next probe in')")).await;
    pictures(&mut page).await;
    page.until(&format!("{circuit}.includes('half-open')")).await;
    client.get("http://api.example/down").send().await.unwrap();
    page.until(&format!("{circuit}.includes('closed') && !{circuit}.includes('not closed')")).await;
    page.until(
        "/circuit open after 5 consecutive failures[^]*/.test(document.getElementById('hour').innerText)",
    )
    .await;
    page.until("document.getElementById('hour').innerText.includes('circuit closed after')").await;

    // Text from outside is text.
    page.until("document.getElementById('hour').innerText.includes('no such region ')").await;
    page.until(&format!("{}.includes('parked')", row("subsystems", outside()))).await;
    assert_eq!(page.value("document.querySelectorAll('img, main script').length").await, 0);
    assert_ne!(page.value("document.title").await, "owned");

    // On a phone nothing has to be pushed aside, and a keyboard reaches everything.
    page.width(400).await;
    assert_eq!(page.value("document.documentElement.scrollWidth").await, 400);
    page.press_tab().await;
    assert_eq!(page.value("document.activeElement.getAttribute('href')").await, "#s");
    sleep(1500 * MS).await;
    assert_eq!(
        page.value("document.activeElement.getAttribute('href')").await,
        "#s",
        "an update took it away"
    );

    // Three widths, both schemes, and what is drawn can be told apart from what is behind it.
    for scheme in ["light", "dark"] {
        page.prefers(scheme).await;
        for width in [400, 800, 1400] {
            page.width(width).await;
            assert_eq!(page.value("document.documentElement.scrollWidth").await, width, "{scheme}");
        }
        let least = page.value(CONTRAST).await.as_f64().unwrap();
        assert!(least >= 3.0, "{scheme}: {least}");
    }
    page.prefers("light").await;
    page.width(400).await;

    let light = page.value("getComputedStyle(document.body).backgroundColor").await;
    page.prefers("dark").await;
    assert_ne!(page.value("getComputedStyle(document.body).backgroundColor").await, light);
    assert_eq!(page.complaints(), [""; 0]);

    without_scripts(&mut page, &url).await;
    page.open(&url).await;
    page.until("document.getElementById('news').textContent === 'live'").await;
    assert_eq!(page.value("document.getElementById('old').textContent").await, "");

    // What is old says so, once to those who listen.
    drop((admin, queue, work));
    page.until("document.body.classList.contains('old')").await;
    page.until("/no news for \\d+ s/.test(document.getElementById('news').textContent)").await;
    assert_eq!(
        page.value("document.querySelector('#old[role=status]').textContent").await,
        "what you see is old"
    );
    page.close().await;
    let _ = end.send(());
    running.await.unwrap().unwrap();
}

/// The least contrast of a gauge: its edge against the page, and each fill against the track under it.
const CONTRAST: &str = "(() => {
    const style = getComputedStyle(document.documentElement);
    const light = (name) => {
        let hex = style.getPropertyValue(name).trim().slice(1);
        if (hex.length === 3) hex = [...hex].map((c) => c + c).join('');
        const part = (at) => {
            const value = parseInt(hex.slice(at, at + 2), 16) / 255;
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        };
        return 0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4);
    };
    const of = ([a, b]) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const pairs = [['--edge', '--back'], ['--good', '--track'], ['--warn', '--track'], ['--bad', '--track'],
        ['--calm', '--track'], ['--good', '--back'], ['--warn', '--back'], ['--bad', '--back']];
    return Math.min(...pairs.map(of));
})()";

/// The page is complete without its script, at every width.
async fn without_scripts(page: &mut Chromium, url: &str) {
    page.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    for width in [400, 800, 1400] {
        page.width(width).await;
        page.ask("Page.navigate", json!({ "url": url })).await;
        let shown = timeout(MINUTE, async {
            loop {
                let all = page.ask("DOM.getDocument", json!({ "depth": -1 })).await.to_string();
                // The last part of it.
                if all.contains("times are UTC") {
                    return all;
                }
                sleep(50 * MS).await;
            }
        });
        let shown = shown.await.expect("a page");
        for told in ["Not ready: scheduler", "prod-eu", "incidents", "Last hour", "portal 1.2.3"] {
            assert!(shown.contains(told), "{told}: {shown}");
        }
        let size = page.ask("Page.getLayoutMetrics", json!({})).await;
        assert_eq!(size["cssContentSize"]["width"], width, "{size}");
    }
    page.ask("Emulation.setScriptExecutionDisabled", json!({ "value": false })).await;
}

/// An event stream that is lost, and a process, for as long as this is kept.
fn beside(client: &Client) -> JoinSet<()> {
    let mut work = JoinSet::new();
    let request = http::Request::get("http://events.example/refused").body(Body::empty()).unwrap();
    let backoff = Backoff::constant(20 * SECOND);
    let settings = sse::Settings::default().name("prod-eu").reconnect(backoff);
    let mut stream = settings.connect(client.clone(), request).unwrap();
    work.spawn(async move { while stream.next().await.is_some() {} });
    #[cfg(unix)]
    work.spawn(async {
        let command = unwedge::child::Command::new("/bin/sleep", 5 * MINUTE).args(["240"]);
        command.run().await.map(drop).unwrap();
    });
    work
}

/// Writes what the page looks like, for those who ask: `UNWEDGE_PICTURES=DIR`.
async fn pictures(page: &mut Chromium) {
    use base64::Engine;
    let Some(dir) = std::env::var_os("UNWEDGE_PICTURES").map(std::path::PathBuf::from) else { return };
    for (name, width, scheme) in [
        ("status-page", 1000, "light"),
        ("status-page-400", 400, "light"),
        ("status-page-dark", 1000, "dark"),
    ] {
        page.prefers(scheme).await;
        page.width(width).await;
        let picture = page.picture().await;
        let picture = base64::engine::general_purpose::STANDARD.decode(picture).unwrap();
        std::fs::write(dir.join(format!("{name}.png")), picture).unwrap();
    }
    page.prefers("light").await;
    page.width(1000).await;
}
