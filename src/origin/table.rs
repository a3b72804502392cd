//! The one map keyed by origin and group: bounded, what nobody uses leaves it, and nothing of a user's runs under its
//! lock.

use crate::error::Error;
use crate::options::Group;
use crate::origin::Origin;
use crate::origin::authority::parts;
use crate::sync::{Arc, Mutex, lock};
use hashbrown::{DefaultHashBuilder, HashTable};
use http::Uri;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// State that must not be forgotten while it matters.
pub(crate) trait Evictable {
    /// True while forgetting this state would change how calls are treated.
    fn keep(&self) -> bool;

    /// True while other entries build on this one, which then outlives them.
    fn is_shared(&self) -> bool {
        false
    }
}

/// An entry of [`PerOrigin`].
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) origin: Origin,
    pub(crate) group: Option<Group>,
    state: T,
    /// The authority as it was spelled when this entry was made: the common case is the same spelling again.
    spelling: Box<str>,
    uses: AtomicU8,
    evicted: AtomicBool,
}

impl<T> Deref for Entry<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.state
    }
}

impl<T> Entry<T> {
    /// Whether a cached entry serves this URL and group; false is no proof of the contrary.
    pub(crate) fn serves(&self, uri: &Uri, group: Option<&Group>) -> bool {
        let same = uri.authority().is_some_and(|a| *self.spelling == *a.as_str())
            && uri.scheme_str() == Some(self.origin.scheme())
            && self.group.as_ref() == group
            && !self.evicted.load(Ordering::Relaxed);
        if same {
            self.used();
        }
        same
    }

    fn used(&self) {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < u8::MAX {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }
}

/// A map from origins and groups to state that stays bounded.
///
/// Above the soft cap, an entry that was idle for [`IDLE`] gives its place to a new one. At the hard cap a clock hand
/// passes over the entries, takes one use away from each and evicts the first that has none left, so that busy origins
/// outlive any number of origins seen once. What [`Evictable::keep`] protects, or a caller holds, is passed over until then.
pub(crate) struct PerOrigin<T> {
    table: Mutex<Table<T>>,
    hasher: DefaultHashBuilder,
    soft: usize,
    hard: usize,
}

struct Table<T> {
    index: HashTable<usize>,
    places: Vec<Place<T>>,
    hand: usize,
    /// The place of the entry that was asked for last: most programs ask for it again.
    recent: usize,
    /// When it was last looked who is idle.
    looked: Instant,
}

struct Place<T> {
    entry: Arc<Entry<T>>,
    /// Its uses as they were last looked at: a use since then has made them another number.
    uses: Option<u8>,
    idle: bool,
}

/// How long an entry has to go unused before it may be forgotten below the hard cap; at most twice that passes.
const IDLE: Duration = Duration::from_secs(600);
/// How many entries the hand passes for one insertion before the table grows instead.
const PASSES: usize = 64;

impl<T> Table<T> {
    fn find(&self, hash: u64, parts: (bool, &str, u16), group: Option<&Group>) -> Option<usize> {
        let is = |at: &usize| {
            let entry = &self.places[*at].entry;
            entry.group.as_ref() == group && entry.origin.is(parts)
        };
        self.index.find(hash, is).copied()
    }
}

impl<T: Evictable> PerOrigin<T> {
    pub(crate) fn new(soft: usize, hard: usize) -> PerOrigin<T> {
        let table =
            Table { index: HashTable::new(), places: Vec::new(), hand: 0, recent: 0, looked: Instant::now() };
        PerOrigin { table: Mutex::new(table), hasher: DefaultHashBuilder::default(), soft, hard }
    }

    /// The entry of a URL's origin and this group.
    pub(crate) fn find(&self, uri: &Uri, group: Option<&Group>) -> Result<Option<Arc<Entry<T>>>, Error> {
        {
            let table = lock(&self.table);
            let recent = table.places.get(table.recent).map(|place| &place.entry);
            if let Some(entry) = recent.filter(|entry| entry.serves(uri, group)) {
                return Ok(Some(Arc::clone(entry)));
            }
        }
        let parts = parts(uri)?;
        let hash = self.hash(parts, group);
        let mut table = lock(&self.table);
        let Some(at) = table.find(hash, parts, group) else { return Ok(None) };
        table.recent = at;
        let entry = &table.places[at].entry;
        entry.used();
        Ok(Some(Arc::clone(entry)))
    }

    /// The entry of a URL's origin and this group, made if there is none. Two callers at once may both make one, and
    /// get the same.
    pub(crate) fn get(
        &self,
        uri: &Uri,
        group: Option<&Group>,
        make: impl FnOnce(&Origin) -> T,
    ) -> Result<Arc<Entry<T>>, Error> {
        if let Some(entry) = self.find(uri, group)? {
            return Ok(entry);
        }
        let parts = parts(uri)?;
        let (https, host, port) = parts;
        let origin = Origin { https, host: host.to_ascii_lowercase().into(), port };
        let entry = Arc::new(Entry {
            state: make(&origin),
            origin,
            group: group.cloned(),
            spelling: uri.authority().map_or("", |a| a.as_str()).into(),
            uses: AtomicU8::new(0),
            evicted: AtomicBool::new(false),
        });
        let (hash, now) = (self.hash(parts, group), Instant::now());
        let mut guard = lock(&self.table);
        let table = &mut *guard;
        if let Some(at) = table.find(hash, parts, group) {
            let first = Arc::clone(&table.places[at].entry);
            drop(guard);
            return Ok(first);
        }
        let at = self.place(table, now);
        let place = Place { entry: Arc::clone(&entry), uses: None, idle: false };
        let evicted = if at == table.places.len() {
            table.places.push(place);
            None
        } else {
            Some(std::mem::replace(&mut table.places[at], place))
        };
        table.recent = at;
        let Table { index, places, .. } = table;
        index.insert_unique(hash, at, |&at| self.hash_of(&places[at].entry));
        drop(guard);
        // What it held of others (a metrics recorder's handles) is dropped without the lock.
        drop(evicted);
        Ok(entry)
    }

    /// Where the next entry goes: a new place, or that of an entry which is evicted for it.
    fn place(&self, table: &mut Table<T>, now: Instant) -> usize {
        let len = table.places.len();
        if now.saturating_duration_since(table.looked) >= IDLE {
            table.looked = now;
            for place in &mut table.places {
                // One below the most, so that a use shows in any case.
                let uses = place.entry.uses.load(Ordering::Relaxed);
                place.idle = place.uses == Some(uses);
                place.uses = Some(uses.min(u8::MAX - 1));
                place.entry.uses.store(uses.min(u8::MAX - 1), Ordering::Relaxed);
            }
        }
        if len < self.soft {
            return len;
        }
        let full = len >= self.hard;
        let mut passes = if full { len * 2 } else { PASSES.min(len) };
        while passes > 0 {
            passes -= 1;
            let at = table.hand % len;
            table.hand = at + 1;
            let Place { entry, uses: looked, idle } = &table.places[at];
            let uses = entry.uses.load(Ordering::Relaxed);
            if full && uses > 0 && passes > 0 {
                entry.uses.store(uses - 1, Ordering::Relaxed);
                continue;
            }
            let unused = *idle && *looked == Some(uses);
            if !full && !unused {
                continue;
            }
            let held = Arc::strong_count(entry) > 1 || entry.state.keep();
            if entry.state.is_shared() || (held && !(full && passes < len)) {
                continue;
            }
            entry.evicted.store(true, Ordering::Relaxed);
            let hash = self.hash_of(entry);
            if let Ok(found) = table.index.find_entry(hash, |&i| i == at) {
                found.remove();
            }
            return at;
        }
        len
    }

    pub(crate) fn all(&self) -> Vec<Arc<Entry<T>>> {
        lock(&self.table).places.iter().map(|place| Arc::clone(&place.entry)).collect()
    }

    fn hash_of(&self, entry: &Entry<T>) -> u64 {
        let origin = &entry.origin;
        self.hash((origin.https, &origin.host, origin.port), entry.group.as_ref())
    }

    fn hash(&self, (https, host, port): (bool, &str, u16), group: Option<&Group>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let mut lower = [0u8; 64];
        for chunk in host.as_bytes().chunks(lower.len()) {
            let lower = &mut lower[..chunk.len()];
            lower.copy_from_slice(chunk);
            lower.make_ascii_lowercase();
            hasher.write(lower);
        }
        hasher.write_u32(u32::from(port) << 1 | u32::from(https));
        if let Some(group) = group {
            hasher.write(group.as_str().as_bytes());
        }
        hasher.finish()
    }
}

impl<T> fmt::Debug for PerOrigin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = lock(&self.table).places.len();
        f.debug_struct("PerOrigin").field("len", &len).finish()
    }
}
