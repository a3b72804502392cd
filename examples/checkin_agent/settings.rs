//! What stands in the settings file.

use crate::common::Stop;
use serde::Deserialize;
use std::path::Path;
use unwedge::config::{Layers, Resilience};

/// The one beside this source, where `--config` names no other.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/checkin_agent/agent.yaml");
/// The same for the server of its own, whose outage is over within seconds.
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/checkin_agent/demo.yaml");

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) resilience: Resilience,
    pub(crate) check_in: CheckIn,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CheckIn {
    /// The share of the interval by which a tick may come later.
    pub(crate) splay: f64,
}

impl Settings {
    pub(crate) fn read(file: Option<&Path>, demo: bool) -> Result<Settings, Stop> {
        let own = Path::new(if demo { DEMO } else { OWN });
        let layers = Layers::new().file(file.unwrap_or(own)).map_err(Stop::usage)?;
        let settings: Settings = layers.env("CHECKIN_AGENT_").load().map_err(Stop::usage)?;
        let splay = settings.check_in.splay;
        if !(0.0..=1.0).contains(&splay) {
            return Err(Stop::usage(format!("check_in.splay: {splay}: it must be between 0 and 1")));
        }
        Ok(settings)
    }
}
