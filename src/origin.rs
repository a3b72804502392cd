//! Whom a call is for: [`Origin`], the redacted [`Target`], and the one bounded map keyed by origin.

mod authority;

use crate::Error;
use crate::sync::{Arc, Mutex, lock};
use authority::{host_and_port, is_port, parts};
use hashbrown::{DefaultHashBuilder, HashTable};
use http::{Method, Uri};
use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Scheme, host and port of a URL, normalised (RFC 6454): lower-case host, default port filled in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    host: Arc<str>,
    port: u16,
}

impl Origin {
    /// The origin of a URL.
    ///
    /// # Errors
    /// Kind `Config` where the URL has no host or a scheme other than http and https.
    pub fn of(uri: &Uri) -> Result<Origin, Error> {
        let (https, host, port) = parts(uri)?;
        Ok(Origin { https, host: host.to_ascii_lowercase().into(), port })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// The host in lower case, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where the URL left it to the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn is(&self, (https, host, port): (bool, &str, u16)) -> bool {
        self.port == port && self.https == https && self.host.eq_ignore_ascii_case(host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.host)?;
        if self.port == default_port(self.https) { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

#[cold]
fn no_scheme(uri: &Uri) -> Error {
    if let Some(other) = uri.scheme_str() {
        return Error::config(format!("the scheme of the URL is {other:?}: it must be http or https"));
    }
    let mut shown = String::new();
    // Writing to a String cannot fail.
    let _ = fmt_redacted(uri, None, &mut shown);
    Error::config(format!("the URL {shown:?} has no scheme and host: it must be absolute"))
}

/// What an operator may read of a request: method and URL without credentials, query and fragment, or its label.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) label: Option<Label>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.method)?;
        fmt_redacted(&self.uri, self.label.as_ref(), f)
    }
}

/// `scheme://host:port/path`, or with a label `scheme://host:port [label]`.
fn fmt_redacted(uri: &Uri, label: Option<&Label>, f: &mut impl fmt::Write) -> fmt::Result {
    if let Some(scheme) = uri.scheme_str() {
        write!(f, "{scheme}://")?;
    }
    if let Some(authority) = uri.authority() {
        let (host, port) = host_and_port(authority.as_str());
        f.write_str(host)?;
        if is_port(port) {
            f.write_str(port)?;
        }
    }
    match label {
        Some(label) => write!(f, " [{}]", label.0),
        None => f.write_str(uri.path()),
    }
}

impl Target {
    pub(crate) fn url(&self) -> String {
        struct Url<'a>(&'a Target);
        impl fmt::Display for Url<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_redacted(&self.0.uri, self.0.label.as_ref(), f)
            }
        }
        Url(self).to_string()
    }
}

/// A request extension that replaces the path in errors, spans, tables and pages, where paths carry secrets.
///
/// ```
/// let request = http::Request::get("https://api.example/t/s3cret/jobs")
///     .extension(unwedge::Label::new("jobs"))
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(Cow<'static, str>);

impl Label {
    /// The name to show instead of the path.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Label {
        Label(name.into())
    }
}

/// State that must not be forgotten while it matters.
pub(crate) trait Keep {
    /// True while forgetting this state would change how calls are treated.
    fn keep(&self) -> bool;
}

/// An entry of [`PerOrigin`].
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) origin: Origin,
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
    /// Whether a cached entry serves this URL; false is no proof of the contrary.
    pub(crate) fn serves(&self, uri: &Uri) -> bool {
        let same = uri.authority().is_some_and(|a| *self.spelling == *a.as_str())
            && uri.scheme_str() == Some(self.origin.scheme())
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

/// A map from origins to state that stays bounded.
///
/// A clock hand passes over the entries, takes one use away from each and evicts the first that has none left, so
/// that busy origins outlive any number of origins seen once. What [`Keep::keep`] protects, or a caller holds, is
/// passed over until the hard cap is reached.
pub(crate) struct PerOrigin<T> {
    table: Mutex<Table<T>>,
    hasher: DefaultHashBuilder,
    soft: usize,
    hard: usize,
}

struct Table<T> {
    index: HashTable<usize>,
    entries: Vec<Arc<Entry<T>>>,
    hand: usize,
    /// The place of the entry that was asked for last: most programs ask for it again.
    recent: usize,
}

/// How many entries the hand passes for one insertion before the table grows instead.
const PASSES: usize = 64;

impl<T: Keep> PerOrigin<T> {
    pub(crate) fn new(soft: usize, hard: usize) -> PerOrigin<T> {
        PerOrigin {
            table: Mutex::new(Table { index: HashTable::new(), entries: Vec::new(), hand: 0, recent: 0 }),
            hasher: DefaultHashBuilder::default(),
            soft,
            hard,
        }
    }

    /// The entry of a URL's origin, made if there is none.
    pub(crate) fn get(&self, uri: &Uri, make: impl FnOnce(&Origin) -> T) -> Result<Arc<Entry<T>>, Error> {
        {
            let table = lock(&self.table);
            if let Some(entry) = table.entries.get(table.recent).filter(|entry| entry.serves(uri)) {
                return Ok(Arc::clone(entry));
            }
        }
        let parts = parts(uri)?;
        let hash = self.hash(parts);
        let mut guard = lock(&self.table);
        let table = &mut *guard;
        if let Some(&at) = table.index.find(hash, |&at| table.entries[at].origin.is(parts)) {
            table.recent = at;
            let entry = &table.entries[at];
            entry.used();
            return Ok(Arc::clone(entry));
        }
        let (https, host, port) = parts;
        let origin = Origin { https, host: host.to_ascii_lowercase().into(), port };
        let entry = Arc::new(Entry {
            state: make(&origin),
            origin,
            spelling: uri.authority().map_or("", |a| a.as_str()).into(),
            uses: AtomicU8::new(0),
            evicted: AtomicBool::new(false),
        });
        let at = self.place(table);
        if at == table.entries.len() {
            table.entries.push(Arc::clone(&entry));
        } else {
            table.entries[at] = Arc::clone(&entry);
        }
        table.recent = at;
        let Table { index, entries, .. } = table;
        index.insert_unique(hash, at, |&at| self.hash_of(&entries[at].origin));
        Ok(entry)
    }

    /// Where the next entry goes: a new place, or that of an entry which is evicted for it.
    fn place(&self, table: &mut Table<T>) -> usize {
        let len = table.entries.len();
        if len < self.soft {
            return len;
        }
        let full = len >= self.hard;
        let mut passes = if full { len * 2 } else { PASSES.min(len) };
        while passes > 0 {
            passes -= 1;
            let at = table.hand % len;
            table.hand = at + 1;
            let entry = &table.entries[at];
            let uses = entry.uses.load(Ordering::Relaxed);
            if uses > 0 && !(full && passes == 0) {
                entry.uses.store(uses - 1, Ordering::Relaxed);
                continue;
            }
            let held = Arc::strong_count(entry) > 1 || entry.state.keep();
            if held && !(full && passes < len) {
                continue;
            }
            entry.evicted.store(true, Ordering::Relaxed);
            let hash = self.hash_of(&entry.origin);
            if let Ok(found) = table.index.find_entry(hash, |&i| i == at) {
                found.remove();
            }
            return at;
        }
        len
    }

    pub(crate) fn all(&self) -> Vec<Arc<Entry<T>>> {
        lock(&self.table).entries.clone()
    }

    fn hash_of(&self, origin: &Origin) -> u64 {
        self.hash((origin.https, &origin.host, origin.port))
    }

    fn hash(&self, (https, host, port): (bool, &str, u16)) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let mut lower = [0u8; 64];
        for chunk in host.as_bytes().chunks(lower.len()) {
            let lower = &mut lower[..chunk.len()];
            lower.copy_from_slice(chunk);
            lower.make_ascii_lowercase();
            hasher.write(lower);
        }
        hasher.write_u32(u32::from(port) << 1 | u32::from(https));
        hasher.finish()
    }
}

impl<T> fmt::Debug for PerOrigin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerOrigin").field("len", &lock(&self.table).entries.len()).finish()
    }
}

#[cfg(test)]
mod tests;
