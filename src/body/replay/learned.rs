//! Types of bodies of which somebody has said how an empty one is made. That is a matter of the type, and so it is known
//! once for the whole program.

use crate::sync::lock;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

type Makers = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;
type Make<B> = Arc<dyn Fn() -> B + Send + Sync>;

static MAKERS: LazyLock<crate::sync::Mutex<Makers>> = LazyLock::new(Default::default);

/// So an empty body of this type is made; the last word counts.
pub(crate) fn learn<B: 'static>(make: Make<B>) {
    let before = lock(&MAKERS).insert(TypeId::of::<B>(), Arc::new(make));
    // Closures of the user's are dropped, and called, without the lock.
    drop(before);
}

pub(super) fn empty<B: 'static>() -> Option<B> {
    let make = lock(&MAKERS).get(&TypeId::of::<B>()).map(Arc::clone)?;
    make.downcast_ref::<Make<B>>().map(|make| make())
}
