//! Are the files, tests and links that the documents name there?
//!
//! - A name in backquotes that ends in `/`, or in one of [`ENDINGS`], is a path. It begins at the root of the repository
//!   or at its document's folder, or it is one of `src/` of `cspace-core`; in a row of the crate map it is one of the row's
//!   crate instead.
//! - A target of a link that is no address of the web is a path, as in any Markdown.
//! - A name in backquotes like `limit::a_claim` is a semantics test, and one before `(regression)` a file of those.
//!
//! What stands in fenced blocks is a drawing or a program and is not looked at. Decisions tell of what was, so only their
//! links are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The endings of names that are paths.
const ENDINGS: [&str; 5] = [".rs", ".md", ".toml", ".txt", ".lox"];

/// What is written in a document, in its order.
#[derive(Debug, PartialEq)]
enum Mention {
    Path(String),
    Link(String),
    Test { topic: String, name: String },
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents, by their paths from the root.
fn documents() -> Vec<String> {
    let mut documents: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "fuzz/README.md", "lox/README.md"]
            .map(String::from)
            .into();
    for folder in ["docs", "docs/decisions"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                documents.push(format!("{folder}/{name}"));
            }
        }
    }
    documents.sort();
    documents
}

/// The lines of a document that are not in a fenced block, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        !is_fenced && !is_fence
    })
}

fn is_path(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
    let is_of_ci = name.starts_with(".ci/");
    name.chars().all(is_plain)
        && (is_of_ci || name.ends_with('/') || ENDINGS.iter().any(|ending| name.ends_with(ending)))
}

/// The topic and the name of a test.
fn as_test(name: &str) -> Option<(&str, &str)> {
    let (topic, name) = name.split_once("::")?;
    let is_plain =
        |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (is_plain(topic) && is_plain(name) && name.matches('_').count() > 1).then_some((topic, name))
}

fn mentions(line: &str) -> Vec<Mention> {
    let mut mentions = Vec::new();
    let parts: Vec<&str> = line.split('`').collect();
    for i in (1..parts.len()).step_by(2) {
        let (name, after) = (parts[i], parts.get(i + 1).copied().unwrap_or_default());
        if after.starts_with("](") {
            // The text of a link: its target is looked at.
        } else if after.starts_with(" (regression)") {
            mentions.push(Mention::Path(format!("tests/tests/regression/{name}.rs")));
        } else if is_path(name) {
            mentions.push(Mention::Path(name.to_string()));
        } else if let Some((topic, name)) = as_test(name) {
            mentions.push(Mention::Test { topic: topic.to_string(), name: name.to_string() });
        }
    }
    for after in line.split("](").skip(1) {
        let target = after.split([')', '#']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains("://") {
            mentions.push(Mention::Link(target.to_string()));
        }
    }
    mentions
}

/// The folder of sources that a name without one is in: that of the crate of the crate map's row, or the core's.
fn sources(line: &str) -> PathBuf {
    let first = line.strip_prefix("| `").and_then(|row| row.split('`').next());
    let of_row = first.map(|name| root().join(name).join("src")).filter(|folder| folder.is_dir());
    of_row.unwrap_or_else(|| root().join("cspace-core/src"))
}

/// Whether there is what a line of a document mentions.
fn is_there(document: &str, line: &str, mention: &Mention) -> bool {
    let folder = root().join(document).parent().unwrap().to_path_buf();
    match mention {
        Mention::Link(target) => folder.join(target).exists(),
        Mention::Path(path) => {
            let bases = [root(), folder, sources(line)];
            bases.iter().any(|base| base.join(path).exists())
        }
        Mention::Test { topic, name } => {
            let file = root().join(format!("tests/tests/semantics/{topic}.rs"));
            file.exists() && read(&file).contains(&format!("fn {name}("))
        }
    }
}

/// What a document mentions that is not there, each with its line.
fn missing(document: &str, text: &str) -> Vec<String> {
    let is_decision = document.starts_with("docs/decisions/");
    let mut missing = Vec::new();
    for (number, line) in lines(text) {
        for mention in mentions(line) {
            let is_looked_at = !is_decision || matches!(mention, Mention::Link(_));
            if is_looked_at && !is_there(document, line, &mention) {
                missing.push(format!("{document}:{number}: {mention:?}"));
            }
        }
    }
    missing
}

#[test]
fn what_documents_name_is_there() {
    let documents = documents();
    assert!(documents.len() > 25, "{documents:?}");
    let missing: Vec<String> = documents
        .iter()
        .flat_map(|document| missing(document, &read(&root().join(document))))
        .collect();
    assert!(missing.is_empty(), "named and not there:\n{}", missing.join("\n"));
}

#[test]
fn names_that_are_misspelt_are_found() {
    let text = "See `batch.rs`, `bacth.rs`, `protocol/want.rs`, `.ci/run`, `.ci/rum`, `docs/`, `dosc/`.\n\
                | `cspace-gc` | `period.rs`, `heap.rs` |\n\
                ```text\n`not/looked/at.rs`\n```\n\
                [here](docs/memory.md#the-picture), [there](docs/memroy.md), [away](https://example.org/a.md)\n\
                `limit::alloc_panics_at_the_limit_without_poisoning`, `limit::alloc_panics_never_at_all`\n\
                `budget_of_an_empty_space` (regression), `budget_of_a_full_space` (regression)\n\
                [`no_file.rs`](README.md)\n";
    assert_eq!(
        missing("ARCHITECTURE.md", text),
        [
            "ARCHITECTURE.md:1: Path(\"bacth.rs\")",
            "ARCHITECTURE.md:1: Path(\".ci/rum\")",
            "ARCHITECTURE.md:1: Path(\"dosc/\")",
            "ARCHITECTURE.md:2: Path(\"heap.rs\")",
            "ARCHITECTURE.md:6: Link(\"docs/memroy.md\")",
            "ARCHITECTURE.md:7: Test { topic: \"limit\", name: \"alloc_panics_never_at_all\" }",
            "ARCHITECTURE.md:8: Path(\"tests/tests/regression/budget_of_a_full_space.rs\")",
        ]
    );
}

/// The Rust files below a folder, by their paths from the root.
fn rust_files(folder: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap());
        if root().join(&path).is_dir() {
            rust_files(&path, files);
        } else if path.ends_with(".rs") {
            files.push(path);
        }
    }
}

#[test]
fn files_with_unsafe_code_are_those_that_the_architecture_lists() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let (_, section) = text.split_once("## Where unsafe code lives").expect("the heading is there");
    let section = section.split("\n## ").next().unwrap();
    let listed: BTreeSet<String> = lines(section)
        .flat_map(|(_, line)| mentions(line))
        .filter_map(|mention| match mention {
            Mention::Path(path) if path.contains("/src/") => Some(path),
            Mention::Path(path) => Some(format!("cspace-core/src/{path}")),
            _ => None,
        })
        .collect();

    let mut files = Vec::new();
    for folder in ["cspace-core/src", "cspace-native/src"] {
        rust_files(folder, &mut files);
    }
    let has_unsafe = |file: &&String| {
        read(&root().join(file)).lines().map(str::trim_start).any(|line| {
            let is_code = !line.starts_with("//");
            let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait"];
            is_code && words.iter().any(|word| line.contains(word))
        })
    };
    let with: Vec<&String> = files.iter().filter(has_unsafe).collect();
    let is_listed = |file: &str| {
        listed.iter().any(|path| file == path || (path.ends_with('/') && file.starts_with(path)))
    };
    let unlisted: Vec<_> = with.iter().filter(|file| !is_listed(file)).collect();
    assert!(unlisted.is_empty(), "unsafe code in files that are not listed: {unlisted:?}");
    let idle: Vec<_> = listed
        .iter()
        .filter(|path| !with.iter().any(|file| file.starts_with(path.as_str())))
        .collect();
    assert!(idle.is_empty(), "listed, and without unsafe code: {idle:?}");

    for krate in ["cspace", "cspace-gc", "cspace-evict", "lox"] {
        let main = if krate == "lox" { "lox/src/main.rs" } else { &format!("{krate}/src/lib.rs") };
        assert!(read(&root().join(main)).contains("#![forbid(unsafe_code)]"), "{main}");
    }
}
