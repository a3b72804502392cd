//! What is known of a failure beyond its kind.

use super::ErrorKind;

/// What the chain of causes tells beyond the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The server cannot have processed the request (a remote GOAWAY or REFUSED_STREAM).
    pub(crate) unprocessed: bool,
    /// It said so without blame: a graceful GOAWAY, or REFUSED_STREAM.
    pub(crate) unseen: bool,
    /// The connection ended, and nothing tells of a byte of the response.
    pub(crate) ended: bool,
    /// It is known whether the connection had served before.
    pub(crate) metered: bool,
    /// A connection that had served before went away: a race, no evidence against the origin.
    pub(crate) reused: bool,
    /// And it carried one request at a time, so that others that were idle may have gone with it.
    pub(crate) idle: bool,
    /// This machine had no descriptor, memory, port, route or name for the connection.
    pub(crate) local: bool,
    /// The connection pool gave up because the caller that led a connect was dropped.
    pub(crate) pool: bool,
    /// The system, or a layer of others, gave up waiting.
    pub(crate) timed_out: bool,
    /// .. on a connection that many calls may share.
    pub(crate) connection_timed_out: bool,
    /// What one connect died of, told to several calls that waited for it.
    pub(crate) shared: bool,
    /// A gate that an earlier 429 had closed turned the call away.
    pub(crate) gate: bool,
    /// A certificate was refused.
    pub(crate) certificate: bool,
    /// The caller's request or body is at fault.
    pub(crate) caller: bool,
    /// Made by a health check that was sent for this call, not by an older verdict.
    pub(crate) probe: bool,
}

/// What an error is, where it says so itself, and whether a time was over.
pub(super) type Said = (Option<ErrorKind>, bool);
