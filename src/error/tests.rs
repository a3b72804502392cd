use super::*;

#[test]
fn an_error_is_one_pointer_and_can_be_shared() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Error>();
    assert_eq!(size_of::<Error>(), 8);
}
