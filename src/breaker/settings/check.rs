//! What no setting may be.

use crate::duration::{LONGEST, human};
use crate::error::Error;
use std::time::Duration;

pub(super) fn at_least_one(name: &str, value: u32) -> Result<(), Error> {
    if value == 0 {
        return Err(Error::config(format!("breaker {name} is 0: it must be at least 1")));
    }
    Ok(())
}

pub(super) fn within_bounds(name: &str, value: Duration) -> Result<(), Error> {
    if value.is_zero() || value > LONGEST {
        return Err(Error::config(format!(
            "breaker {name} is {:#}: it must be more than zero and at most 10 years",
            human(value)
        )));
    }
    Ok(())
}
