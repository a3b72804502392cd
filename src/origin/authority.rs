//! The parts of an authority (RFC 3986, section 3.2), borrowed.

/// Of an authority without its user information, which is everything before the last @. The port has its colon yet.
pub(super) fn host_and_port(authority: &str) -> (&str, &str) {
    let user = authority.bytes().rposition(|byte| byte == b'@').map_or(0, |at| at + 1);
    let (_, behind) = authority.split_at(user);
    let end = if behind.starts_with('[') { behind.find(']').map(|at| at + 1) } else { behind.find(':') };
    behind.split_at(end.unwrap_or(behind.len()))
}

/// A colon and digits. Not str::parse alone: it would take "+80".
pub(super) fn is_port(port: &str) -> bool {
    port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `Uri` sees that brackets pair up, and not that one of a pair may stand in the user information.
pub(super) fn is_torn(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.bytes().any(|byte| matches!(byte, b'[' | b']'))
}
