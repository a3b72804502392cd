//! The status page in a real browser, where there is one.

use crate::chromium::{Chromium, installed};
use crate::support::{MINUTE, MS, SECOND, client};
use std::future::pending;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::sleep;
use unwedge::admin::Admin;
use unwedge::retry::{self, Backoff};
use unwedge::supervise::{Policy, Supervisor};
use unwedge::testing::{Peer, Reply, Script};
use unwedge::{Client, Limits, breaker, long_poll};

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
    let admin = Admin::new(&crew)
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
    page.until("document.querySelector('.verdict').textContent === 'Ready'").await;
    page.until("document.title === 'Ready \u{b7} Status'").await;
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
    page.until("document.querySelector('.verdict').textContent === 'Not ready'").await;
    page.until(&format!("{}.includes('left')", row("calls", "alerts.example"))).await;

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

    let light = page.value("getComputedStyle(document.body).backgroundColor").await;
    page.prefers("dark").await;
    assert_ne!(page.value("getComputedStyle(document.body).backgroundColor").await, light);
    assert_eq!(page.complaints(), [""; 0]);

    // What is old says so.
    drop(admin);
    page.until("document.body.classList.contains('old')").await;
    page.until("/no news for \\d+ s/.test(document.getElementById('news').textContent)").await;
    page.close().await;
    let _ = end.send(());
    running.await.unwrap().unwrap();
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
