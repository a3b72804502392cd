//! Signals that end a program.

pub(crate) use unwedge::supervise::Signals;

/// Waits for the first signal, and says which it was. Where no handler can be had, it ends the process by itself.
pub(crate) async fn ended() -> &'static str {
    match Signals::install() {
        Ok(signals) => signals.asked().await.name(),
        Err(_) => std::future::pending().await,
    }
}
