//! The files of a walk, parsed and checked: first all names, then all places.

use crate::common::Stop;
use crate::lint::check::Check;
use crate::lint::names::{Place, World};
use crate::lint::reasons::only_tests;
use crate::lint::report::{Finding, Rule};
use crate::lint::walk::{Source, Walk, only_in_tests};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// For the depth that the parser may go to: only what is used of it is ever taken.
const STACK: usize = 256 << 20;

/// Nothing that a person wrote is nested deeper, and the parser recurses.
const DEEPEST: usize = 200;

/// Everything that waits without a limit, or says why, in the order of the files.
pub(crate) fn findings(walk: Walk, tests: bool) -> Result<Vec<Finding>, Stop> {
    let Walk { sources, packages, broken } = walk;
    let sources = Arc::new(sources);
    let named = each(&sources, |source| {
        let file = parse(source).ok()?;
        let mut world = World::default();
        // Few files define macros, and a look for one goes through all of them.
        if source.text.contains("macro_rules!") {
            world.learn(&file);
        }
        world.add(&source.root, &source.module, &file.items);
        let mut for_tests = only_in_tests(&source.path, &file.items);
        for_tests.extend(only_tests(&file.attrs).then(|| source.path.clone()));
        Some((world, for_tests))
    })?;
    let mut world = World::default();
    let mut for_tests = Vec::new();
    for (names, paths) in named.into_iter().flatten() {
        world.merge(names);
        for_tests.extend(paths);
    }
    for source in sources.iter().filter(|source| source.module.is_empty()) {
        if let Some(name) =
            packages[source.package].library.as_ref().filter(|_| source.path.ends_with("src/lib.rs"))
        {
            world.library(name, &source.root, &packages[source.package].renames);
        }
    }
    for_tests.sort();
    let world = Arc::new(world);
    let packages = Arc::new(packages);
    let found = each(&sources, move |source| {
        let test = source.test || is_below(&source.path, &for_tests);
        if test && !tests {
            return Vec::new();
        }
        match parse(source) {
            Err(error) => vec![error],
            Ok(file) => {
                let renames = &packages[source.package].renames;
                let ours = match renames.is_empty() {
                    true => source.text.contains("unwedge"),
                    false => renames.values().any(|package| package == "unwedge"),
                };
                let place = Place { root: &source.root, module: &source.module, renames };
                let mut found = Check::new(&world, place, &source.path, test)
                    .in_text(&source.text)
                    .beside_ours(ours)
                    .file(&file);
                found.retain(|finding| tests || !finding.test);
                found
            }
        }
    })?;
    let mut found: Vec<Finding> = found.into_iter().flatten().collect();
    found.extend(broken.into_iter().map(|(file, line, why)| syntax(&file, line, 1, why)));
    found.sort_by(|a, b| (&a.file, a.line, a.column, a.rule).cmp(&(&b.file, b.line, b.column, b.rule)));
    Ok(found)
}

/// A file, or a directory with its slash, of modules that only tests declare.
fn is_below(path: &str, for_tests: &[String]) -> bool {
    let listed = |part: &str| for_tests.binary_search_by(|known| known.as_str().cmp(part)).is_ok();
    listed(path) || path.match_indices('/').any(|(slash, _)| listed(&path[..=slash]))
}

fn parse(source: &Source) -> Result<syn::File, Finding> {
    let fault = |error: &dyn std::fmt::Display, at: proc_macro2::LineColumn| {
        syntax(&source.path, at.line, at.column + 1, error.to_string())
    };
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    if let Some(line) = too_deep(text) {
        return Err(syntax(&source.path, line, 1, format!("nested deeper than {DEEPEST} brackets")));
    }
    syn::parse_file(text).map_err(|error| fault(&error, error.span().start()))
}

fn syntax(file: &str, line: usize, column: usize, what: String) -> Finding {
    let (rule, advice) = (Rule::Syntax, Rule::Syntax.advice().to_owned());
    Finding { file: file.to_owned(), line, column, rule, what, reason: None, advice, test: false }
}

/// The line on which brackets are nested too deep. Those in text and comments count too: as a guard it may err there.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, line) in text.lines().enumerate() {
        for byte in line.bytes() {
            match byte {
                b'(' | b'[' | b'{' if depth == DEEPEST => return Some(index + 1),
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    None
}

/// Does this to each file on as many threads as there are cores, and keeps the order.
fn each<T: Send + Default + 'static>(
    sources: &Arc<Vec<Source>>,
    work: impl Fn(&Source) -> T + Send + Sync + 'static,
) -> Result<Vec<T>, Stop> {
    let next = Arc::new(AtomicUsize::new(0));
    let done: Arc<Mutex<Vec<(usize, T)>>> = Arc::default();
    let work = Arc::new(work);
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (sources, next, done, work) =
                (Arc::clone(sources), Arc::clone(&next), Arc::clone(&done), Arc::clone(&work));
            thread::Builder::new().stack_size(STACK).spawn(move || {
                while let Some((index, source)) = take(&sources, &next) {
                    let result = work(source);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                    // The parser keeps the text of every file of its thread.
                    proc_macro2::extra::invalidate_current_thread_spans();
                }
            })
        })
        .collect();
    for worker in workers {
        worker?
            .join()
            .map_err(|_| Stop::Failed("a file could not be read: this is a bug of the lint".to_owned()))?;
    }
    let mut done = std::mem::take(&mut *done.lock().unwrap_or_else(PoisonError::into_inner));
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

fn take<'a>(sources: &'a [Source], next: &AtomicUsize) -> Option<(usize, &'a Source)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, sources.get(index)?))
}
