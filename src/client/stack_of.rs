//! The stack of a client, which is given whole or by its settings.

use crate::error::Error;
use crate::stack::StackBuilder;

/// The settings of the stack, given whole or one by one.
#[derive(Clone, Debug, Default)]
pub(super) struct StackOf {
    pub(super) whole: Option<StackBuilder>,
    single: StackBuilder,
    /// What was given one by one.
    said: Vec<&'static str>,
}

impl StackOf {
    pub(super) fn says(&mut self, setting: &'static str, set: impl FnOnce(StackBuilder) -> StackBuilder) {
        self.single = set(std::mem::take(&mut self.single));
        if !self.said.contains(&setting) {
            self.said.push(setting);
        }
    }

    pub(super) fn get(&self) -> &StackBuilder {
        self.whole.as_ref().unwrap_or(&self.single)
    }

    /// # Errors
    /// Where it was given in both ways: one of them would be lost.
    pub(super) fn settled(self) -> Result<StackBuilder, Error> {
        let Some(whole) = self.whole else { return Ok(self.single) };
        if self.said.is_empty() {
            return Ok(whole);
        }
        let said: Vec<String> = self.said.iter().map(|setting| format!("{setting}(..)")).collect();
        Err(Error::config(format!(
            "stack(..) and {} were given: a stack has all of its settings, say them there (StackBuilder::{})",
            said.join(", "),
            self.said[0]
        )))
    }
}
