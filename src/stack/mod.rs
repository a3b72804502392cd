//! All parts in their order as one tower service.

mod background;
mod bounds;
mod breakers;
mod builder;
mod call;
mod claims;
mod context;
mod drain;
mod events;
mod gates;
mod layers;
mod origin_state;
mod pacing;
mod part;
mod service;
mod shared;
mod wishes;

#[cfg(feature = "client")]
pub(crate) use call::hop::{Hop, is_redirect};
#[cfg(feature = "client")]
pub(crate) use drain::Drain;

pub use crate::retry::RequestHead;
pub use bounds::Bounds;
pub use breakers::Breakers;
pub use builder::StackBuilder;
pub use call::{HttpResponse, ResponseFuture};
pub use events::{Event, EventKind};
pub use layers::{
    AttemptLayer, CircuitBreakerLayer, DeadlineLayer, HealthCheckLayer, RetryLayer, StallLayer,
};
pub use part::Part;
pub use service::{Stack, StackLayer};
pub use wishes::Wishes;
