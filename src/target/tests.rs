use super::*;

#[test]
fn urls_lose_their_credentials_and_queries_and_nothing_else_changes() {
    for (text, shown) in [
        ("connection refused", "connection refused"),
        ("for url (https://u:p@host:1/a/b?token=x#f): refused", "for url (https://host:1/a/b): refused"),
        ("http://h?x", "http://h"),
        ("\"http://a@b@h/@c\" and ws://k@h and h@k", "\"http://h/@c\" and ws://h and h@k"),
        ("http://h/?a=http://u:p@h/ end://", "http://h/ end://"),
        ("", ""),
    ] {
        assert_eq!(Redacted(text).to_string(), shown);
    }
}
