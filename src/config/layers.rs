//! Layers of settings: file, environment, flags; a later one wins.

use super::locate::{Format, line, line_of};
use crate::Error;
use figment::providers::Env;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, error::Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The most that is read of a file.
const LONGEST_FILE: u64 = 1 << 20;

/// Where settings come from. Each layer wins over those added before it: defaults of the type, file, environment, flags.
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
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Layers {
    figment: Figment,
    files: Vec<File>,
    prefix: String,
}

#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    format: Format,
    text: String,
}

impl Layers {
    /// Nothing but the defaults.
    pub fn new() -> Layers {
        Layers::default()
    }

    /// Adds a file, `.toml`, `.yaml` or `.yml`.
    ///
    /// # Errors
    /// Kind `Config` for a file that cannot be read, is larger than 1 MiB or of another extension, or breaks the rules
    /// of its format; the message names file and line.
    pub fn file(mut self, path: impl AsRef<Path>) -> Result<Layers, Error> {
        let path = path.as_ref();
        let shown = path.display();
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Format::Toml,
            Some("yaml" | "yml") => Format::Yaml,
            _ => return Err(Error::config(format!("{shown}: a settings file ends in .toml, .yaml or .yml"))),
        };
        let text = read(path).map_err(|error| Error::config(format!("{shown}: {error}")))?;
        let dict = parse(format, &text).map_err(|(line, what)| {
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            Error::config(format!("{shown}{line}: {what}"))
        })?;
        self.files.push(File { path: path.to_owned(), format, text });
        self.figment = self.figment.merge(Layer { name: format!("file {}", self.files.len() - 1), dict });
        Ok(self)
    }

    /// Adds the variables with this prefix: `UNWEDGE_RETRY__MAX_DELAY` is `retry.max_delay` for `UNWEDGE_`.
    pub fn env(mut self, prefix: &str) -> Layers {
        prefix.clone_into(&mut self.prefix);
        self.figment = self.figment.merge(Env::prefixed(prefix).split("__"));
        self
    }

    /// Adds a flag of the command line by its name, the key it sets and its value.
    pub fn flag(mut self, name: &str, key: &str, value: impl Into<Value>) -> Layers {
        let dict = figment::util::nest(key, value.into()).into_dict().unwrap_or_default();
        self.figment = self.figment.merge(Layer { name: format!("flag {name}"), dict });
        self
    }

    /// The settings of all layers together.
    ///
    /// # Errors
    /// Kind `Config` for an unknown key, a wrong type or a value that is none; the message names where it stands (file
    /// and line, variable or flag) and the key.
    pub fn load<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.figment.extract().map_err(|error| {
            let mut path = error.path.clone();
            if let Kind::UnknownField(name, _) = &error.kind {
                if path.last() != Some(name) {
                    path.push(name.clone());
                }
            }
            let key = path.join(".");
            match self.origin(&key) {
                Some(origin) => Error::config(format!("{origin}: {key}: {}", error.kind)),
                None if key.is_empty() => Error::config(error.kind.to_string()),
                None => Error::config(format!("{key}: {}", error.kind)),
            }
        })
    }

    /// Every value that is in force, with where it came from: what `--print-config` shows. `settings` is what
    /// [`load`](Layers::load) gave.
    ///
    /// # Errors
    /// Kind `Config` for settings that cannot be written down.
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
                let source = self.origin(&key).unwrap_or_else(|| "default".to_owned());
                let value =
                    if value.is_null() { "follows from others".to_owned() } else { value.to_string() };
                all.push(Effective { key, value, source });
            }
        }
    }

    fn origin(&self, key: &str) -> Option<String> {
        let name = &self.figment.find_metadata(key)?.name;
        if let Some(number) = name.strip_prefix("file ") {
            let file = self.files.get(number.parse::<usize>().ok()?)?;
            let path: Vec<&str> = key.split('.').collect();
            let shown = file.path.display();
            return Some(match line(file.format, &file.text, &path) {
                Some(line) => format!("{shown}:{line}"),
                None => shown.to_string(),
            });
        }
        if name.starts_with("flag ") {
            return Some(name.to_string());
        }
        Some(format!("environment variable {}{}", self.prefix, key.to_uppercase().replace('.', "__")))
    }
}

/// One value that is in force.
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

#[derive(Clone)]
struct Layer {
    name: String,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
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

/// What a text holds, or the line and what is wrong with it.
fn parse(format: Format, text: &str) -> Result<Dict, (Option<usize>, String)> {
    match format {
        Format::Toml => toml::from_str(text).map_err(|error| {
            (error.span().map(|span| line_of(text, span.start)), error.message().to_owned())
        }),
        Format::Yaml => serde_norway::from_str::<Option<Dict>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|error| (error.location().map(|at| at.line()), error.to_string())),
    }
}

/// For the fuzz target: a text that may be no settings at all is read or refused, and what is read is read again from
/// what is shown of it.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(text: &str) {
    for format in [Format::Toml, Format::Yaml] {
        let Ok(dict) = parse(format, text) else { continue };
        let layers = Layers {
            figment: Figment::from(Layer { name: "file 0".to_owned(), dict }),
            files: vec![File { path: "fuzzed".into(), format, text: text.to_owned() }],
            prefix: String::new(),
        };
        match layers.load::<super::Resilience>() {
            Ok(settings) => {
                assert!(layers.effective(&settings).is_ok());
                let _ = settings.builder().build();
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
