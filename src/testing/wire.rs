//! The server's side of a connection, in memory or on a socket.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Cut;

/// How long a request that has begun may take to arrive. Long enough for any script, short enough to end.
pub(super) const REQUEST: Duration = Duration::from_secs(600);

/// The server's side of a connection.
pub(super) trait Wire: Send + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send;

    fn io(&mut self) -> &mut Self::Io;

    /// Waits until the client is gone, without reading. What nothing else bounds ends here.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;

    /// Ends the connection with a reset. Dropping it instead ends it as the end of a process would.
    fn reset(self);
}

pub(super) async fn end<W: Wire>(mut wire: W, how: Cut) {
    match how {
        Cut::Hang => wire.gone().await,
        Cut::Reset => wire.reset(),
        Cut::Close => {
            let _ = wire.io().shutdown().await;
        }
    }
}
