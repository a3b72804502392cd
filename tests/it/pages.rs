//! What people read on the web: the README, and the pages under `docs/`. The manual's pages are written for rustdoc; their
//! copies under `docs/manual` are made from them, here: `UNWEDGE_RENDER=1 cargo test --test it pages::`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The manual in reading order: file, title, content.
const MANUAL: &[(&str, &str, &str)] = &[
    (
        "order",
        "The order of the parts",
        "the place of each part with its reason, and places for your own layers",
    ),
    ("recipes", "Recipes", "a whole program for each task, and terms of other libraries"),
    ("config", "Settings", "file, keys, environment variables and flags, with an example file"),
    ("defaults", "Defaults", "every default with its reason"),
    ("failure-modes", "Failure modes", "the limit of each phase of a call, and the meaning of each error"),
    ("migrating", "Migrating", "the new code in place of the old, and the differences"),
    (
        "clients",
        "Clients",
        "kube, tonic, octocrab, SDKs and exporters: the type that each takes, and the lines to write",
    ),
    ("loops", "Loops that survive", "rules for a supervised loop, and its test"),
    ("big-bodies", "Large bodies", "limits and settings of long uploads and downloads"),
    ("testing", "Testing", "tests against servers that stall, on a paused clock, with your own handlers"),
    ("lints", "Lints", "tools against new calls without a timeout"),
    ("metrics", "Metrics", "names, labels and meaning of all metrics"),
    ("incidents", "Incidents", "five incidents with cause and prevention"),
    ("operations", "Operations", "settings, metrics, probes, alerts, deployment, troubleshooting"),
];

/// The search of the documentation finds an item whatever kind it is.
const ITEMS: &str = "https://docs.rs/unwedge/latest/unwedge/?search=";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One page as it reads on the web: a title, sections one level deeper, whole examples without the lines that rustdoc
/// hides, and links that lead somewhere.
fn rendered(title: &str, source: &str) -> String {
    let mut page = format!("# {title}\n\n");
    let mut code = None;
    for line in source.lines() {
        if let Some(language) = line.strip_prefix("```") {
            code = match code {
                Some(_) => None,
                None if matches!(language, "" | "no_run" | "ignore") || language.starts_with("rust") => {
                    Some(true)
                }
                None => Some(false),
            };
            match (code, language) {
                (Some(true), _) => page.push_str("```rust\n"),
                _ => writeln!(page, "{line}").expect("a string"),
            }
            continue;
        }
        match code {
            Some(true) if line == "#" || line.starts_with("# ") => {}
            Some(_) => writeln!(page, "{line}").expect("a string"),
            None if line.starts_with('#') => writeln!(page, "#{}", linked(line)).expect("a string"),
            None => writeln!(page, "{}", linked(line)).expect("a string"),
        }
    }
    page
}

fn linked(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("](crate::") {
        let (path, left) = after.split_once(')').expect("a link ends");
        let target = match path.strip_prefix("manual::") {
            Some(page) => {
                let (page, anchor) = page.split_once('#').map_or((page, None), |(page, at)| (page, Some(at)));
                let anchor = anchor.map(|at| format!("#{at}")).unwrap_or_default();
                format!("{}.md{anchor}", page.replace('_', "-"))
            }
            None => format!("{ITEMS}{}", path.split('#').next().expect("a path")),
        };
        write!(out, "{before}]({target})").expect("a string");
        rest = left;
    }
    out + rest
}

fn contents() -> String {
    let mut page = "# The manual\n\nMade from `src/manual`, which is part of the documentation: \
                    `cargo doc --open --all-features`, module `manual`. \
                    Links to docs.rs work once this version is published there.\n\n| page | content |\n| --- | --- |\n"
        .to_owned();
    for (file, title, question) in MANUAL {
        writeln!(page, "| [{title}]({file}.md) | {question} |").expect("a string");
    }
    page
}

#[test]
fn the_manual_on_the_web_says_what_the_manual_in_the_documentation_says() {
    let pages = MANUAL.iter().map(|(file, title, _)| {
        (format!("docs/manual/{file}.md"), rendered(title, &text(&format!("src/manual/{file}.md"))))
    });
    let mut old = Vec::new();
    for (path, page) in pages.chain([("docs/manual/README.md".to_owned(), contents())]) {
        let there = fs::read_to_string(root().join(&path)).unwrap_or_default();
        if std::env::var_os("UNWEDGE_RENDER").is_some() {
            fs::create_dir_all(root().join("docs/manual")).expect("a folder");
            fs::write(root().join(&path), &page).expect("a page");
        } else if there != page {
            old.push(path);
        }
    }
    assert!(old.is_empty(), "{old:?} are old: UNWEDGE_RENDER=1 cargo test --test it pages::");
    let written = fs::read_dir(root().join("src/manual")).expect("the manual");
    let written = written.map(|entry| entry.expect("an entry").path());
    let written = written.filter(|path| path.extension().is_some_and(|extension| extension == "md")).count();
    assert_eq!(written, MANUAL.len(), "a page of src/manual is missing in the table of this test");
}

/// All pages that stand on the web, from the root of the package.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = Vec::new();
    for dir in ["", "docs", "docs/alerts", "docs/manual", "examples", "examples/event_runner", "fuzz"] {
        let Ok(entries) = fs::read_dir(root().join(dir)) else { continue };
        let files = entries.map(|entry| Path::new(dir).join(entry.expect("an entry").file_name()));
        pages.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// The name that the web gives a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(page: &str) -> Vec<String> {
    // A heading that links names its text alone.
    let plain = |line: &str| {
        let mut line = line.to_owned();
        while let (Some(start), Some(end)) = (line.find("]("), line.rfind(')')) {
            if end <= start {
                break;
            }
            line.replace_range(start..=end, "");
        }
        line
    };
    let mut code = false;
    let mut anchors = Vec::new();
    for line in page.lines() {
        code ^= line.starts_with("```");
        if !code && line.starts_with('#') {
            anchors.push(anchor(&plain(line)));
        }
    }
    anchors
}

#[test]
fn every_link_of_a_page_leads_to_a_page_and_to_a_heading_of_it() {
    let mut dead = Vec::new();
    for page in pages() {
        let words = fs::read_to_string(root().join(&page)).expect("a page");
        for link in words.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, at)| (file, Some(at)));
            let target = match file {
                "" => page.clone(),
                _ => page.parent().expect("a file").join(file),
            };
            let there = root().join(&target);
            let leads = match heading {
                None => there.exists(),
                Some(at) => {
                    fs::read_to_string(there).is_ok_and(|text| anchors(&text).contains(&at.to_owned()))
                }
            };
            if !leads {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn the_readme_is_short_and_its_programs_can_be_pasted() {
    let readme = text("README.md");
    let words = readme.split_whitespace().count();
    assert!(words <= 1_800, "{words} words");
    let mut rust = false;
    for line in readme.lines() {
        if let Some(language) = line.strip_prefix("```") {
            rust = !rust && language.starts_with("rust");
        }
        assert!(!(rust && line.trim_start().starts_with("# ")), "a line that the web shows: {line}");
    }
    assert!(readme.contains("#[tokio::main]"), "no whole program");
}

#[test]
fn every_file_that_the_architecture_names_is_there() {
    fn files(dir: &Path, all: &mut Vec<String>) {
        for entry in fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path, all);
            } else {
                all.push(format!("/{}", path.strip_prefix(root()).expect("below the root").display()));
            }
        }
    }
    let mut all = Vec::new();
    for dir in ["src", "tests", "examples", "benches", "docs"] {
        files(&root().join(dir), &mut all);
    }
    let page = text("ARCHITECTURE.md");
    let named: Vec<_> = page.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs")).collect();
    let missing: Vec<_> =
        named.iter().filter(|name| !all.iter().any(|file| file.ends_with(&format!("/{name}")))).collect();
    assert!(named.len() > 20 && missing.is_empty(), "{missing:?}");
}
