//! Uploads that go on when their calls have had their answers. Pure.

use super::{Id, Origin};
use crate::transport::pool::connection::Link;

impl<L: Link, P: Clone> Origin<L, P> {
    /// The call is about to be done with its slot, which its upload takes from then on.
    pub(in crate::transport::pool) fn leave_upload(&mut self, id: Id) {
        if let Some(entry) = self.entry(id) {
            entry.uploads += 1;
        }
    }

    /// An upload that was left behind has come to its end.
    pub(in crate::transport::pool) fn uploaded(&mut self, id: Id) {
        if let Some(entry) = self.entry(id) {
            entry.uploads -= 1;
        }
    }
}
