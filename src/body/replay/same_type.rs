//! Values of a type that is known by its name only, where it is the same as one that is known.

use std::any::Any;

/// `make()` as a `B`, if `T` and `B` are the same type. No allocation: the value moves through an `Option`.
pub(super) fn same<B: 'static, T: 'static>(make: impl FnOnce() -> T) -> Option<B> {
    let mut out: Option<B> = None;
    if let Some(slot) = (&mut out as &mut dyn Any).downcast_mut::<Option<T>>() {
        *slot = Some(make());
    }
    out
}

pub(super) fn via<B: 'static, T: 'static>(body: &B, copy: impl FnOnce(&T) -> Option<T>) -> Option<B> {
    let copied = copy((body as &dyn Any).downcast_ref::<T>()?)?;
    same(|| copied)
}
