//! Whether the program is alive, and whether it is ready.

use super::expect::NotReady;
use super::state::{State, origin};
use crate::breaker::Phase;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl State {
    /// The names of those that have to be healthy and are not.
    pub(super) fn stale(&self) -> Vec<String> {
        match &self.expected {
            Some(expected) => self.liveness.is_healthy(&expected.names, expected.stale_after).1,
            None => {
                let all = self.liveness.snapshot().into_iter();
                all.filter(|subsystem| subsystem.stale).map(|subsystem| subsystem.name).collect()
            }
        }
    }

    /// Everything that is missing; nothing where the program is ready.
    pub(super) fn lacks(&self) -> Vec<NotReady> {
        let mut lacks = Vec::new();
        let mut lack = |kind, name: &str, reason: String| {
            lacks.push(NotReady { kind, name: name.to_owned(), reason });
        };
        if self.readiness.is_shutting_down() {
            lack("crew", "", "is being ended".to_owned());
        } else if !self.readiness.is_ready() {
            lack("crew", "", "does not run yet, or a subsystem is restarted too often".to_owned());
        }
        let stale = self.stale();
        if !stale.is_empty() {
            let seen = self.subsystems();
            for name in stale {
                let found = seen.iter().find(|subsystem| subsystem.name == name);
                let said = found.map(ToString::to_string).unwrap_or_default();
                // What is shown begins with the name.
                let reason = said.strip_prefix(&format!("{name}: ")).unwrap_or("stale").to_owned();
                lack("subsystem", &name, reason);
            }
        }
        if !self.closed.is_empty() {
            let seen = self.breakers();
            for wanted in &self.closed {
                let written = origin(wanted);
                for breaker in &seen {
                    let named = *breaker.origin == **wanted || Some(&*breaker.origin) == written.as_deref();
                    if named && !matches!(breaker.phase, Phase::Closed | Phase::Disabled) {
                        lack("breaker", wanted, format!("is {}", breaker.phase));
                    }
                }
            }
        }
        for check in &self.checks {
            let told = catch_unwind(AssertUnwindSafe(|| (check.ask)()));
            match told {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => lack("check", &check.name, reason),
                Err(_) => lack("check", &check.name, "panicked".to_owned()),
            }
        }
        lacks
    }
}
