//! All parts in their order as one tower service.

mod background;
mod bounds;
mod breakers;
mod buffered;
mod builder;
pub(crate) mod call;
mod claims;
mod context;
pub(crate) mod drain;
mod events;
mod gates;
mod handle;
mod layers;
mod origin_state;
mod pacing;
mod part;
mod request_options;
mod service;
mod shared;

pub use crate::retry::RequestHead;
pub use bounds::Bounds;
pub use breakers::Breakers;
pub use buffered::Buffered;
pub use builder::StackBuilder;
pub use call::{HttpResponse, ResponseFuture};
pub use events::{Event, EventKind};
pub use layers::{
    AttemptLayer, BufferedLayer, CircuitBreakerLayer, DeadlineLayer, HealthCheckLayer, RetryLayer, StallLayer,
};
pub use part::Part;
pub use request_options::RequestOptions;
pub use service::{Stack, StackLayer};
