//! Texts that have no place in the repository, or only in some of it.

use crate::{
    assert_none,
    workspace::{TextFile, files},
};

/// Where a text is looked for.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    /// Every text file.
    Everywhere,
    /// Everything but prose.
    Code,
    /// Rust, tests included.
    Rust,
    /// Rust that goes into a library or a binary, without its comments.
    Production,
}

/// A text that is not wanted.
struct Ban {
    texts: &'static [&'static str],
    scope: Scope,
    /// Beginnings of the paths where it is allowed.
    except: &'static [&'static str],
    instead: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        texts: &["FIXME", "TODO"],
        scope: Scope::Code,
        except: &[],
        instead: "finish it, or open an issue",
    },
    Ban {
        texts: &["#[ignore", "should_panic"],
        scope: Scope::Rust,
        except: &[],
        instead: "a test runs always and asserts what it expects",
    },
    Ban {
        texts: &["tokio::spawn(", "tokio::task::spawn("],
        scope: Scope::Production,
        except: &[],
        instead: "spawn into a JoinSet or TaskTracker that somebody awaits",
    },
    Ban {
        texts: &["unbounded_channel", "mpsc::unbounded", "mpsc::channel()"],
        scope: Scope::Production,
        except: &[],
        instead: "give the channel a bound, so that a slow reader slows its writer",
    },
    Ban {
        texts: &["env::var", "env::args"],
        scope: Scope::Production,
        except: &["bins/", "crates/brain-testkit/src/bin/", "crates/brain-testkit/src/redis.rs"],
        instead: "take it as an argument: only bins/codexd reads the environment",
    },
    Ban {
        texts: &["unsafe_code"],
        scope: Scope::Production,
        except: &["crates/llm-local/", "crates/sandbox/"],
        instead: "find a safe way; a crate that cannot is listed here with a reason in its code",
    },
    Ban {
        texts: &["/home/", "/root/", "/tmp/", "/Users/"],
        scope: Scope::Everywhere,
        except: &["docker/"],
        instead: "a path of one machine means nothing on another; use a temporary or relative one",
    },
    Ban {
        texts: &["Claude", "Co-authored-by", "Co-Authored-By", "Generated with", "AI-generated"],
        scope: Scope::Everywhere,
        except: &[],
        instead: "say what the code does, not what wrote it",
    },
];

impl Scope {
    fn includes(self, file: &TextFile) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Code => !file.is_markdown(),
            Self::Rust => file.is_rust(),
            Self::Production => file.is_production(),
        }
    }

    /// Whether the line still belongs: a module of tests ends the production part of a file.
    fn reaches(self, line: &str) -> bool {
        self != Self::Production || line != "mod tests {"
    }

    fn finds(self, text: &str, line: &str) -> bool {
        let comment = self == Self::Production && line.trim_start().starts_with("//");
        line.contains(text) && !comment
    }
}

fn unwanted(files: &[TextFile]) -> Vec<String> {
    let mut violations = Vec::new();
    for ban in BANS {
        let excepted = |it: &TextFile| ban.except.iter().any(|dir| it.path.starts_with(dir));
        for file in files.iter().filter(|it| ban.scope.includes(it) && !excepted(it)) {
            let lines = file.lines().take_while(|(_, line)| ban.scope.reaches(line));
            violations.extend(lines.filter_map(|(number, line)| {
                let text = ban.texts.iter().find(|it| ban.scope.finds(it, line))?;
                Some(format!("{}:{number}: {text}: {}", file.path, ban.instead))
            }));
        }
    }
    violations
}

#[test]
fn unwanted_texts_are_absent() {
    // This folder names what it forbids.
    let files = files().into_iter().filter(|it| !it.path.starts_with("xtask/tests/tidy/"));
    assert_none(&unwanted(&files.collect::<Vec<TextFile>>()));
}

#[test]
fn breaches_are_seen() {
    for ban in BANS {
        for text in ban.texts {
            let production = TextFile::new("crates/a/src/b.rs", &format!("//!\n{text}"));
            let found = unwanted(&[production]);
            assert!(found[0].starts_with("crates/a/src/b.rs:2: "), "{text}: {found:?}");
        }
    }
    assert_none(&unwanted(&[TextFile::new("crates/a/src/b.rs", "//! No tokio::spawn( here.")]));
    let tests = "//!\n#[cfg(test)]\nmod tests {\n    tokio::spawn(a);\n}";
    assert_none(&unwanted(&[TextFile::new("crates/a/src/b.rs", tests)]));
    assert_none(&unwanted(&[TextFile::new("README.md", "TODO lists are data.")]));
    assert_none(&unwanted(&[TextFile::new("bins/codexd/src/b.rs", "std::env::var_os(a)")]));
}
