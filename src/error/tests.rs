use super::*;

#[test]
fn an_error_is_one_pointer_and_can_be_shared() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Error>();
    assert_eq!(size_of::<Error>(), 8);
}

#[test]
fn a_status_is_retriable_where_the_same_request_may_get_another_later() {
    for code in 400..600 {
        let mut error = Error::new(ErrorKind::Transport, "");
        error.inner_mut().status = Some(StatusCode::from_u16(code).unwrap());
        let retriable = matches!(code, 408 | 425 | 429 | 500 | 502..=504 | 506..);
        assert_eq!(error.is_retriable(), retriable, "{code}");
    }
}
