//! Settings: what they may be, what is said about those that are wrong, and what is never said.

use std::{collections::BTreeSet, fs, path::Path};

use codexd::{
    config::Config,
    settings::{self, Settings},
};
use tempfile::TempDir;

use crate::{
    daemon::{Ended, Home},
    reference,
};

/// The settings `pairs`, in a data folder of their own.
fn settings(folder: &TempDir, pairs: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    settings.set("CODEXD_DATA_DIR", folder.path().to_str().unwrap(), "test");
    pairs.iter().for_each(|(name, value)| settings.set(name, *value, "test"));
    settings
}

fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    Config::new(&settings(&folder, pairs)).map_or_else(|it| it.0, |_| Vec::new())
}

#[test]
fn the_documents_are_what_the_code_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (file, text) in [
        ("docs/CONFIGURATION.md", reference::markdown()),
        (".env.example", settings::EXAMPLE.to_owned()),
    ] {
        let stored = fs::read_to_string(root.join(file)).unwrap();
        assert!(stored == text, "{file}: run: cargo run -p codexd --example reference");
    }
}

#[test]
fn every_setting_is_documented_and_read() {
    let examples = settings::EXAMPLE.lines().filter(|it| it.starts_with('#') && it.contains('='));
    let examples = examples.filter(|line| !line.starts_with("# ")).count();
    assert_eq!(settings::all().count(), examples, "a block of settings.env is not understood");
    let code = [
        include_str!("../../src/config.rs"),
        include_str!("../../src/config/reader.rs"),
        include_str!("../../src/config/providers.rs"),
        include_str!("../../../../crates/provider-settings/src/lib.rs"),
        include_str!("../../src/config/network.rs"),
        include_str!("../../src/settings.rs"),
    ];
    let code = code.concat();
    for setting in settings::all() {
        assert!(code.contains(&format!("\"{}\"", setting.name)), "{} is not read", setting.name);
        assert!(!(setting.meaning.is_empty() || setting.default.is_empty()));
    }
}

#[test]
fn examples_are_values_that_will_do() {
    let folder = TempDir::new().unwrap();
    let files = ["LOCAL_MODEL_PATH", "CODEXD_DATA_DIR", "SQLITE_DB_PATH", "EXTRA_CA_CERTS"];
    let mut settings = settings(&folder, &[]);
    for setting in settings::all().filter(|it| !files.contains(&it.name)) {
        settings.set(setting.name, setting.example, "test");
    }
    Config::new(&settings).unwrap();
}

#[test]
fn every_problem_is_named_at_once() {
    let wrong = [
        ("ENV", "staging"),
        ("PORT", "http"),
        ("HOST", "example.org"),
        ("MODEL_PROVIDER", "nobody"),
        ("MODEL_FALLBACK", "local/"),
        ("OPENAI_BASE_URL", "localhost:8000"),
        ("OLLAMA_BASE_URL", "localhost:11434"),
        ("OLLAMA_NUM_CTX", "many"),
        ("OLLAMA_PULL", "never"),
        ("TABBYML_BASE_URL", "ftp://127.0.0.1"),
        ("AZURE_OPENAI_API_KEY", "two words"),
        ("AZURE_OPENAI_ENDPOINT", "example"),
        ("AZURE_OPENAI_DEPLOYMENT", ""),
        ("MODEL_CONNECT_TIMEOUT", "0"),
        ("MODEL_FIRST_BYTE_TIMEOUT", "soon"),
        ("MODEL_IDLE_TIMEOUT", "2d"),
        ("MODEL_RETRIES", "11"),
        ("MODEL_CONCURRENCY", "0"),
        ("HTTP_PROXY", "socks5://127.0.0.1"),
        ("EXTRA_CA_CERTS", "/nowhere.pem"),
        ("LOCAL_MODEL_PATH", "/nowhere/model.gguf"),
        ("LOCAL_THREADS", "0"),
        ("EMBEDDING_MODEL", "/nowhere"),
        ("SQLITE_DB_PATH", "/nowhere/memory.db"),
        ("SQLITE_SYNCHRONOUS", "off"),
        ("ALLOW_NO_KEY", "perhaps"),
        ("ALLOWED_HOSTS", "http://example.org/"),
        ("REDIS_URL", "http://127.0.0.1:6379"),
        ("SESSION_TTL", "soon"),
        ("MEMORY_BUDGET", "1KiB"),
        ("RETENTION_DAYS", "0"),
        ("MAX_IMPORT_BYTES", "-1"),
        ("MAX_BODY_BYTES", "1"),
        ("DRAIN_SECONDS", "-1"),
        ("LOG", "a=b=c"),
        ("CODEXD_API_KEYS", "secret"),
    ];
    let found = problems(&wrong);
    let named: BTreeSet<_> = found.iter().map(|it| it.split(':').next().unwrap()).collect();
    assert_eq!(named, wrong.iter().map(|(name, _)| *name).collect(), "{found:#?}");
    assert_eq!(found.len(), wrong.len(), "{found:#?}");
}

#[test]
fn listening_beyond_this_machine_must_be_meant() {
    let production = [("ENV", "production"), ("HOST", "0.0.0.0")];
    assert_eq!(problems(&production).len(), 1);
    assert!(problems(&[production.as_slice(), &[("ALLOW_NO_KEY", "1")]].concat()).is_empty());
    assert!(problems(&[("ENV", "production"), ("HOST", "::1")]).is_empty());
    let home = Home::new();
    let check = home.codexd(&["check"]).env("HOST", "0.0.0.0").output().unwrap();
    assert!(String::from_utf8(check.stdout).unwrap().contains("warning: HOST"));
}

#[test]
fn a_provider_must_be_configured_to_be_chosen() {
    assert_eq!(problems(&[("MODEL_PROVIDER", "openai")]).len(), 1);
    assert!(problems(&[("MODEL_PROVIDER", "openai"), ("OPENAI_API_KEY", "k")]).is_empty());
    assert!(problems(&[("MODEL_PROVIDER", ""), ("PORT", " ")]).is_empty());
}

#[test]
fn azure_needs_an_endpoint_a_key_and_a_deployment() {
    let azure = [
        ("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com"),
        ("AZURE_OPENAI_API_KEY", "k"),
        ("AZURE_OPENAI_DEPLOYMENT", "d"),
    ];
    assert_eq!(problems(&azure), [""; 0]);
    for missing in 1..3 {
        let others: Vec<_> = (0..3).filter(|it| *it != missing).map(|it| azure[it]).collect();
        let found = problems(&others);
        assert!(matches!(found.as_slice(), [it] if it.starts_with(azure[missing].0)), "{found:?}");
    }
    let token = [azure[0], ("AZURE_OPENAI_AD_TOKEN", "t"), azure[2], ("MODEL", "azure/other")];
    assert_eq!(problems(&token), [""; 0]);
    let found = problems(&[("MODEL_PROVIDER", "azure")]);
    assert_eq!(found, ["MODEL_PROVIDER: azure needs AZURE_OPENAI_ENDPOINT"]);
    assert_eq!(problems(&[("MODEL_PROVIDER", "ollama")]), [""; 0]);
}

#[test]
fn a_table_of_the_toml_file_is_a_provider() {
    const GROQ: [(&str, &str); 3] = [
        ("providers.groq.base_url", "https://api.groq.com/openai/v1"),
        ("providers.groq.api_key_env", "GROQ_KEY"),
        ("GROQ_KEY", "k"),
    ];
    fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<String> {
        problems(&[GROQ.as_slice(), more].concat())
    }
    assert_eq!(with(&[("MODEL_PROVIDER", "groq"), ("MODEL", "groq/llama-3.3-70b")]), [""; 0]);
    assert_eq!(with(&[("MODEL_FALLBACK", "groq/a,openai/b")]).len(), 1);
    assert_eq!(with(&[("EMBEDDING_MODEL", "groq/e")]), [""; 0]);
    let check = |more: (&str, &str), begin: &str| {
        let found = with(&[more]);
        assert!(matches!(found.as_slice(), [it] if it.starts_with(begin)), "{found:?}");
    };
    check(("providers.groq.base_url", "groq"), "providers.groq.base_url: use a URL");
    check(("providers.groq.kind", "x"), "providers.groq.kind: `x` will not do; use openai or");
    check(
        ("providers.groq.api_key_env", "NO"),
        "providers.groq.api_key_env: there is no variable NO",
    );
    check(("providers.local.base_url", "http://x"), "providers.local: such a table cannot be");
    check(("providers.Big One.base_url", "http://x"), "providers.Big One: such a table");
    let folder = TempDir::new().unwrap();
    let unknown =
        settings(&folder, &[("providers.a.base_url", "http://x/v1"), ("providers.a.b", "")]);
    let config = format!("{:?}", Config::new(&unknown).unwrap());
    assert!(config.contains("providers.a.b: there is no such setting"), "{config}");
}

#[test]
fn a_toml_file_comes_after_the_environment_and_its_keys_are_read() {
    let home = Home::new();
    let file = home.path().join("codexd.toml");
    let table = "[providers.lab]\nbase_url = 'http://127.0.0.1:1/v1'\napi_key_env = 'LAB_KEY'\n";
    fs::write(&file, format!("PORT = 1\nDRAIN_SECONDS = 7\n{table}")).unwrap();
    let check = home
        .codexd(&["check", "--offline"])
        .env("PORT", "2")
        .env("LAB_KEY", "sesame")
        .env("MODEL_PROVIDER", "lab")
        .output()
        .unwrap();
    let text = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.success(), "{text}{}", String::from_utf8_lossy(&check.stderr));
    let line = |name: &str| text.lines().find(|it| it.starts_with(name)).unwrap().to_owned();
    assert!(line("PORT ").contains("2  (environment)"), "{text}");
    assert!(line("DRAIN_SECONDS").contains("7  (TOML file)"), "{text}");
    assert!(line("provider").contains("lab at http://127.0.0.1:1/v1"), "{text}");
    assert!(!text.contains("sesame"), "{text}");
}

#[test]
fn a_model_needs_a_provider_that_can_be_asked() {
    let models = ["EMBEDDING_MODEL", "MODEL", "SUMMARY_MODEL"];
    let wrong = models.map(|name| (name, "openai/some-model"));
    let found = problems(&wrong);
    for (name, sentence) in models.iter().zip(&found) {
        let begin = format!("{name}: the provider of `openai/some-model` is not configured");
        assert!(sentence.starts_with(&begin) && sentence.contains("OPENAI_API_KEY"), "{found:?}");
    }
    assert_eq!(found.len(), models.len(), "{found:?}");
    let key = ("OPENAI_API_KEY", "k");
    assert_eq!(problems(&[wrong.as_slice(), &[key]].concat()), [""; 0]);
    // A provider that is chosen and not there is one problem, its models are others.
    assert_eq!(problems(&[wrong[2], ("MODEL_PROVIDER", "openai")]).len(), 2);
    // A name has two sides, or no slash.
    for bad in ["local/", "openai/", "/x", "/"] {
        assert_eq!(problems(&[key, ("MODEL", bad), ("SUMMARY_MODEL", bad)]).len(), 2, "{bad}");
    }
    // Servers have names with a slash, the local model has not.
    assert_eq!(problems(&[("SUMMARY_MODEL", "meta-llama/Llama-3")]).len(), 1);
    assert_eq!(problems(&[key, ("MODEL", "meta-llama/Llama-3")]), [""; 0]);
    assert_eq!(problems(&[("MODEL", "local/some-model"), ("SUMMARY_MODEL", "off")]), [""; 0]);
}

#[test]
fn the_local_model_has_one_name() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("Little.Q4_1.gguf");
    fs::write(&file, "GGUF").unwrap();
    let local = ("LOCAL_MODEL_PATH", file.to_str().unwrap());
    for good in ["little", "local/LITTLE"] {
        assert_eq!(problems(&[local, ("MODEL", good)]), [""; 0], "{good}");
    }
    let found = problems(&[local, ("MODEL", "other"), ("SUMMARY_MODEL", "local/other")]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|it| it.contains("is not the local model")), "{found:?}");
}

#[test]
fn a_default_provider_that_does_not_answer_is_a_problem() {
    let home = Home::new();
    let check = |more: &[&str], url: &str| {
        let arguments = [&["check"], more].concat();
        Ended::of(&home.codexd(&arguments).env("OPENAI_BASE_URL", url).output().unwrap())
    };
    let silent = check(&[], "http://127.0.0.1:1/v1");
    assert_eq!(silent.code, 64, "{}", silent.out);
    assert!(silent.err.contains("openai: 127.0.0.1:1 refuses connections"), "{}", silent.err);
    assert!(silent.err.contains("OPENAI_BASE_URL"), "{}", silent.err);
    assert_eq!(check(&["--offline"], "http://127.0.0.1:1/v1").code, 0);
    let mut other = home.codexd(&["check"]);
    let other = other.env("OLLAMA_BASE_URL", "http://127.0.0.1:1").output().unwrap();
    let other = Ended::of(&other);
    assert_eq!(other.code, 0, "{}", other.err);
    assert!(other.out.contains("warning: ollama: 127.0.0.1:1 refuses"), "{}", other.out);
}

#[test]
fn no_secret_is_shown() {
    let home = Home::new();
    let secrets =
        [("OPENAI_API_KEY", "sk-hunter2"), ("OPENAI_BASE_URL", "https://me:hunter2@example.org")];
    let folder = TempDir::new().unwrap();
    let settings = settings(&folder, &secrets);
    let config = Config::new(&settings);
    assert!(!format!("{settings:?} {config:?}").contains("hunter2"));
    let config = Config::new(&self::settings(&folder, &secrets[..1])).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let check = home.codexd(&["check"]).env("OPENAI_API_KEY", "sk-hunter2").output().unwrap();
    let text = String::from_utf8(check.stdout).unwrap();
    assert!(!text.contains("hunter2"));
    assert!(text.contains("OPENAI_API_KEY            set  (environment)"), "{text}");
    let url = "redis://me:hunter2@127.0.0.1:1/x";
    let check = home.codexd(&["check"]).env("REDIS_URL", url).output().unwrap();
    let text = [check.stdout, check.stderr].map(|it| String::from_utf8(it).unwrap()).concat();
    assert!(text.contains("REDIS_URL") && !text.contains("hunter2"), "{text}");
    // Nor what cannot be read of a file that holds secrets.
    fs::write(home.path().join(".env"), "OPENAI_API_KEY=sk hunter2\n").unwrap();
    let ended = home.run(&["check"]);
    assert_eq!(ended.code, 64);
    assert!(ended.err.contains(".env: line 1 cannot be read"), "{}", ended.err);
    assert!(!ended.err.contains("hunter2"));
}

#[test]
fn the_environment_wins_over_the_file() {
    let home = Home::new();
    let file = "# a comment\nPORT=1111\nexport DRAIN_SECONDS='7'\nDATABASE_URL=x\nTYPO=1\n";
    fs::write(home.path().join(".env"), file).unwrap();
    let output = home.codexd(&["check"]).env("PORT", "2222").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("PORT                      2222  (environment)"), "{text}");
    assert!(text.contains("DRAIN_SECONDS             7  (.env)"), "{text}");
    assert!(text.contains("DATABASE_URL: not supported by this version yet"), "{text}");
    assert!(text.contains("TYPO: there is no such setting"), "{text}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn scripts_learn_the_data_folder_from_the_program() {
    let home = Home::new();
    let folder = |env: Option<&str>, file: &str| {
        fs::write(home.path().join(".env"), file).unwrap();
        let mut command = home.codexd(&["data-dir", "--default", "data"]);
        command.env_remove("CODEXD_DATA_DIR").envs(env.map(|it| ("CODEXD_DATA_DIR", it)));
        let ended = Ended::of(&command.env("HOME", home.path()).output().unwrap());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        ended.out.trim_end().to_owned()
    };
    let here = |name: &str| home.path().join(name).display().to_string();
    assert_eq!(folder(None, ""), here("data"));
    // What else is wrong is no matter.
    assert_eq!(folder(None, "PORT=x\nexport CODEXD_DATA_DIR = 'a b' # why\n"), here("a b"));
    assert_eq!(folder(None, "\u{feff}CODEXD_DATA_DIR=$HOME/q\n"), here("q"));
    assert_eq!(folder(Some(" e "), "CODEXD_DATA_DIR=q\n"), here("e"));
    assert_eq!(folder(Some(""), "CODEXD_DATA_DIR=q\n"), here("q"));
    fs::write(home.path().join(".env"), "CODEXD_DATA_DIR=a b\n").unwrap();
    assert_eq!(home.run(&["data-dir"]).code, 64);
}

#[test]
fn wrong_settings_start_nothing() {
    let home = Home::new();
    for command in ["check", "serve", "ask", "doctor"] {
        let mut command = home.codexd(&[command]);
        let wrong = [("PORT", "x"), ("ENV", "y"), ("OPENAI_BASE_URL", ""), ("MODEL", "openai/m")];
        let output = command.envs(wrong).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{err}");
        let named = ["PORT: `x`", "ENV: `y`", "MODEL: the provider of `openai/m`"];
        assert!(named.iter().all(|it| err.contains(it)), "{err}");
        assert!(err.ends_with("\n[invalid_settings]\n"), "{err}");
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn what_looks_right_and_is_not_is_named() {
    let home = Home::new();
    fs::write(home.path().join(".env"), "ENV=production\nLOG=in fo\nPORT=x\n").unwrap();
    let err = home.run(&["check"]).err;
    assert!(err.contains("line 2 cannot") && err.contains("PORT: `x`"), "{err}");
    assert_eq!(problems(&[("SQLITE_DB_PATH", "/")]).len(), 1);
    assert_eq!(problems(&[("SQLITE_DB_PATH", ":memory:")]).len(), 1);
    assert_eq!(problems(&[("LOCAL_MODEL_PATH", "/etc/passwd")]).len(), 1);
    assert_eq!(problems(&[("LOG", "debgu")]).len(), 1);
    assert_eq!(problems(&[("LOG", "codexd=")]).len(), 1);
    assert_eq!(problems(&[("SQLITE_DB_PATH", "/dev/null")]).len(), 1);
    assert_eq!(problems(&[("EMBEDDING_MODEL", "/")]).len(), 1);
    assert_eq!(problems(&[("MODEL", "a\nb")]).len(), 1);
    assert_eq!(problems(&[("SYSTEM_PROMPT", &"x".repeat(65_537))]).len(), 1);
    assert_eq!(problems(&[("ALLOWED_HOSTS", "a b,ok.example.org")]).len(), 1);
    assert_eq!(
        problems(&[("ALLOWED_HOSTS", "ok.example.org,[::1]"), ("LOG", "a=debug,info")]),
        [""; 0]
    );
}

#[test]
fn a_time_to_live_makes_sense_or_starts_nothing() {
    for good in ["0", "10", "10s", "1h", "7d", "3650d"] {
        assert_eq!(problems(&[("SESSION_TTL", good)]), [""; 0]);
    }
    for nonsense in ["1", "9s", "-1", "1.5h", "forever", "3651d", "99999999999999999999", "NaN"] {
        let found = problems(&[("SESSION_TTL", nonsense)]);
        assert!(found[0].starts_with("SESSION_TTL: `"), "{found:?}");
    }
}

#[test]
fn embeddings_leave_the_machine_only_if_a_provider_is_named() {
    let openai = ("OPENAI_API_KEY", "k");
    for good in ["local", "off", "openai/text-embedding-3-small"] {
        assert_eq!(problems(&[openai, ("EMBEDDING_MODEL", good)]), [""; 0]);
    }
    for bad in ["text-embedding-3-small", "acme/model", "openai/", "local/all-MiniLM-L6-v2"] {
        assert_eq!(problems(&[openai, ("EMBEDDING_MODEL", bad)]).len(), 1);
    }
}

#[test]
fn an_emptied_database_is_no_database() {
    let home = Home::new();
    let output = home.codexd(&["ask", "Hello"]).env("SQLITE_DB_PATH", "").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "So you say: Hello\n");
    assert!(!home.database().exists());
}
