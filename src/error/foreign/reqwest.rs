//! What an error of reqwest says of itself; its causes are read like all others.

use crate::error::ErrorKind;
use crate::error::fault::Said;
use std::error::Error as StdError;

pub(in crate::error) fn says(error: &(dyn StdError + 'static)) -> Option<Said> {
    let error = error.downcast_ref::<::reqwest::Error>()?;
    let kind = if error.is_redirect() {
        Some(ErrorKind::Redirect)
    } else {
        error.is_builder().then_some(ErrorKind::Config)
    };
    Some((kind, error.is_timeout()))
}
