//! Signals that end a program.

/// Waits for SIGINT, or on Unix for SIGTERM too, and says which it was.
pub(crate) async fn ended() -> &'static str {
    #[cfg(unix)]
    if let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        return tokio::select! {
            interrupted = tokio::signal::ctrl_c() => named(interrupted).await,
            _ = term.recv() => "SIGTERM",
        };
    }
    named(tokio::signal::ctrl_c().await).await
}

/// Where no handler can be had, the signal ends the process by itself.
async fn named(interrupted: std::io::Result<()>) -> &'static str {
    match interrupted {
        Ok(()) => "SIGINT",
        Err(_) => std::future::pending().await,
    }
}
