//! What an error of reqwest says of itself; its causes are read like all others.

use super::Said;
use crate::error::ErrorKind;
use std::error::Error as StdError;

pub(super) fn says(error: &(dyn StdError + 'static)) -> Option<Said> {
    let error = error.downcast_ref::<::reqwest::Error>()?;
    let kind = if error.is_redirect() {
        Some(ErrorKind::Redirect)
    } else {
        error.is_builder().then_some(ErrorKind::Config)
    };
    Some((kind, error.is_timeout()))
}
