//! Which events were handed out before the connection was lost, so that what the server sends again is not handled twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Longer ids are not remembered, so that memory is bounded by the count.
const LONGEST: usize = 1024;

/// The last ids, and on which connection each came.
#[derive(Debug, Default)]
pub(crate) struct RecentIds {
    most: usize,
    connection: u64,
    order: VecDeque<Arc<str>>,
    came: HashMap<Arc<str>, u64>,
}

impl RecentIds {
    pub(crate) fn new(most: usize) -> RecentIds {
        RecentIds { most, ..RecentIds::default() }
    }

    pub(crate) fn connected(&mut self) {
        self.connection += 1;
    }

    /// Whether an event with this id came on an earlier connection. A server that gives many events one id means it:
    /// within a connection nothing is a duplicate.
    pub(crate) fn is_repeated(&mut self, id: &str) -> bool {
        if self.most == 0 || id.is_empty() || id.len() > LONGEST {
            return false;
        }
        match self.came.get(id) {
            Some(&before) if before < self.connection => return true,
            Some(_) => return false,
            None => {}
        }
        if self.order.len() == self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.came.remove(&oldest);
            }
        }
        let id: Arc<str> = id.into();
        self.order.push_back(Arc::clone(&id));
        self.came.insert(id, self.connection);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_an_earlier_connection_is_a_duplicate_and_one_of_this_is_not() {
        let mut seen = RecentIds::new(10);
        seen.connected();
        assert!(!seen.is_repeated("1"));
        assert!(!seen.is_repeated("1"));
        seen.connected();
        assert!(seen.is_repeated("1"));
        assert!(seen.is_repeated("1"));
        assert!(!seen.is_repeated("2"));
        assert!(!seen.is_repeated("2"));
    }

    #[test]
    fn it_remembers_so_many_and_no_ids_without_end() {
        let mut seen = RecentIds::new(2);
        for id in ["1", "2", "3", &"x".repeat(LONGEST + 1), ""] {
            assert!(!seen.is_repeated(id));
        }
        assert_eq!((seen.order.len(), seen.came.len()), (2, 2));
        seen.connected();
        assert_eq!(["1", "2", "3"].map(|id| seen.came.contains_key(id)), [false, true, true]);
        assert!(!seen.is_repeated(&"x".repeat(LONGEST + 1)));
        assert!(!seen.is_repeated(""));
    }

    #[test]
    fn it_is_off_at_zero() {
        let mut seen = RecentIds::new(0);
        assert!(!seen.is_repeated("1"));
        seen.connected();
        assert!(!seen.is_repeated("1"));
    }
}
