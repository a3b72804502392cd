//! Layers of settings: file, environment, flags; a later one wins.

use super::read::Reader;
use super::tree::{Node, Place, Value};
use super::{toml_file, yaml_file};
use crate::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// The most that is read of a file.
const LONGEST_FILE: u64 = 1 << 20;

/// The sources of settings: defaults of the type, files, environment, flags. A later layer overrides an earlier one.
///
/// ```
/// use unwedge::config::{Layers, Resilience};
///
/// let layers = Layers::new().env("MY_AGENT_").flag("--max-delay", "retry.max_delay", "5m");
/// let settings: Resilience = layers.load()?; // MY_AGENT_RETRY__MAX_RETRIES=10 would be seen here
/// for value in layers.effective(&settings)? {
///     println!("{value}"); // retry.max_delay = "5m" (flag --max-delay)
/// }
/// let layer = settings.builder().build()?;
/// # Ok::<(), unwedge::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
#[doc(alias("figment", "env_vars", "settings_file"))]
pub struct Layers {
    tree: Node,
}

impl Default for Layers {
    fn default() -> Layers {
        Layers { tree: Node::table(BTreeMap::new()) }
    }
}

impl Layers {
    /// Nothing but the defaults.
    pub fn new() -> Layers {
        Layers::default()
    }

    /// Adds a file, `.toml`, `.yaml` or `.yml`.
    ///
    /// The same rules hold for both: a duplicate key is an error, an empty section counts as absent, a byte order mark is
    /// skipped. YAML is read by the core schema of version 1.2, as a single document.
    ///
    /// # Errors
    /// Kind `Config` for a file that cannot be read, is larger than 1 MiB or of another extension, or breaks the rules
    /// of its format; the message names file and line.
    pub fn file(self, path: impl AsRef<Path>) -> Result<Layers, Error> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let parse = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => toml_file::parse,
            Some("yaml" | "yml") => yaml_file::parse,
            _ => return Err(Error::config(format!("{shown}: a settings file ends in .toml, .yaml or .yml"))),
        };
        let text = read(path).map_err(|error| Error::config(format!("{shown}: {error}")))?;
        let tree = parse(text.strip_prefix('\u{feff}').unwrap_or(&text), &Place::new(shown.as_str()));
        let tree = tree.map_err(|(line, what)| {
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            Error::config(format!("{shown}{line}: {what}"))
        })?;
        Ok(self.over(tree))
    }

    /// Adds the variables with this prefix: `UNWEDGE_RETRY__MAX_DELAY` is `retry.max_delay` for `UNWEDGE_`. A list is
    /// written `a, b`. Variables that are not UTF-8 are ignored.
    ///
    /// Every variable with this prefix is taken for a setting, and one that is no key is an error of
    /// [`load`](Layers::load). Choose a prefix of your own: for a Service named `daemon` Kubernetes sets
    /// `DAEMON_SERVICE_HOST` and `DAEMON_PORT`.
    pub fn env(mut self, prefix: &str) -> Layers {
        let mut found: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| {
                name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            })
            .filter(|(name, _)| name.len() > prefix.len())
            .collect();
        found.sort();
        for (name, value) in found {
            let place = Place::new(format!("environment variable {name}"));
            let key = name[prefix.len()..].to_lowercase();
            let value = Node::new(Value::Untyped(value), place);
            self = self.over(value.under(key.rsplit("__")));
        }
        self
    }

    /// Adds a flag of the command line: its name, the key that it sets, and its value. Text is converted to the type of the
    /// setting.
    ///
    /// ```
    /// use unwedge::config::{Layers, Resilience};
    ///
    /// let layers = Layers::new().flag("--retries", "retry.max_retries", "7").flag("--budget", "retry.budget.enabled", false);
    /// let settings: Resilience = layers.load()?;
    /// assert_eq!((settings.retry.get_max_retries(), settings.retry.get_budget()), (7, None));
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    pub fn flag(self, name: &str, key: &str, value: impl Into<Flag>) -> Layers {
        let node = Node::new(value.into().0, Place::new(format!("flag {name}")));
        self.over(node.under(key.rsplit('.')))
    }

    fn over(mut self, above: Node) -> Layers {
        self.tree.overlay(above);
        self
    }

    /// The settings of all layers together.
    ///
    /// # Errors
    /// Kind `Config` for an unknown key, a wrong type or an invalid value; the message names its place (file and line,
    /// variable or flag) and the key.
    pub fn load<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(Reader(&self.tree)).map_err(|fault| {
            let (mut path, mut message) = (fault.path, fault.message.as_str());
            // What reads a block with keys of its own puts those first.
            while let Some((key, rest)) = message.split_once(": ") {
                let further = path.iter().map(String::as_str).chain(key.split('.'));
                if !self.tree.follow(further).whole {
                    break;
                }
                path.extend(key.split('.').map(str::to_owned));
                message = rest;
            }
            let place = &self.tree.follow(path.iter().map(String::as_str)).node.place;
            let key = path.join(".");
            match place {
                Some(place) => Error::config(format!("{place}: {key}: {message}")),
                None if key.is_empty() => Error::config(message.to_owned()),
                None => Error::config(format!("{key}: {message}")),
            }
        })
    }

    /// Every effective value with its source, as for `--print-config`. `settings` is the result of [`load`](Layers::load).
    ///
    /// # Errors
    /// Kind `Config` for settings that cannot be serialized.
    pub fn effective<T: Serialize>(&self, settings: &T) -> Result<Vec<Effective>, Error> {
        let tree = serde_json::to_value(settings)
            .map_err(|error| Error::config(format!("settings that cannot be shown: {error}")))?;
        let mut all = Vec::new();
        self.walk(String::new(), &tree, &mut all);
        Ok(all)
    }

    fn walk(&self, key: String, value: &serde_json::Value, all: &mut Vec<Effective>) {
        match value {
            serde_json::Value::Object(map) if !map.is_empty() => {
                for (name, value) in map {
                    let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                    self.walk(key, value, all);
                }
            }
            _ => {
                let found = self.tree.follow(key.split('.'));
                let place = found.node.place.as_ref().filter(|_| found.whole);
                let source = place.map_or_else(|| "default".to_owned(), ToString::to_string);
                let value =
                    if value.is_null() { "follows from others".to_owned() } else { value.to_string() };
                all.push(Effective { key, value, source });
            }
        }
    }
}

/// What a flag sets: a text, a number, yes or no, or a list of them.
#[derive(Clone, Debug)]
pub struct Flag(Value);

impl From<&str> for Flag {
    fn from(text: &str) -> Flag {
        Flag(Value::Untyped(text.to_owned()))
    }
}

impl From<String> for Flag {
    fn from(text: String) -> Flag {
        Flag(Value::Untyped(text))
    }
}

impl From<bool> for Flag {
    fn from(yes: bool) -> Flag {
        Flag(Value::Bool(yes))
    }
}

impl From<f64> for Flag {
    fn from(number: f64) -> Flag {
        Flag(Value::Float(number))
    }
}

macro_rules! integers {
    ($($type:ty),*) => {
        $(impl From<$type> for Flag {
            fn from(number: $type) -> Flag {
                Flag(Value::Integer(number.into()))
            }
        })*
    };
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

impl<T: Into<Flag>> From<Vec<T>> for Flag {
    fn from(items: Vec<T>) -> Flag {
        Flag(Value::List(items.into_iter().map(|item| Node { value: item.into().0, place: None }).collect()))
    }
}

/// One effective value with its source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effective {
    /// `retry.max_delay`.
    pub key: String,
    /// As JSON writes it, or words where it follows from other settings.
    pub value: String,
    /// `agent.yaml:3`, `environment variable UNWEDGE_RETRY__MAX_DELAY`, `flag --max-delay` or `default`.
    pub source: String,
}

impl std::fmt::Display for Effective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {} ({})", self.key, self.value, self.source)
    }
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(LONGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err("larger than 1 MiB, which no settings are".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| format!("no UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

/// For the fuzz target: a text that may be no settings at all is read or refused, and what is read is read again from
/// what is shown of it.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(text: &str) {
    for parse in [toml_file::parse, yaml_file::parse] {
        let Ok(tree) = parse(text, &Place::new("fuzzed")) else { continue };
        let layers = Layers::new().over(tree);
        match layers.load::<super::Resilience>() {
            Ok(settings) => {
                assert!(layers.effective(&settings).is_ok());
                let _ = settings.builder().build();
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
