//! `codexd config`: with a daemon, without one, and without a database.

use crate::daemon::{Ended, Home};

const GIVEN: &str = "model          fake  (environment)\nsystem_prompt  none  (default)\n";

fn done(home: &Home, arguments: &[&str]) -> String {
    let ended = home.run(arguments);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
    ended.out
}

#[test]
fn what_was_chosen_holds_until_it_is_taken_back() {
    let home = Home::new();
    assert_eq!(done(&home, &["config"]), GIVEN);
    let prompt = ["config", "set", "system_prompt", "Be brief."];
    let chosen = GIVEN.replace("none  (default)", "Be brief.  (runtime)");
    assert_eq!(done(&home, &prompt), chosen);

    // The next daemon holds to it, and so does what is asked of it.
    let daemon = home.serve();
    assert_eq!(done(&home, &["config", "show"]), chosen);
    done(&home, &["ask", "--session", "s", "One"]);
    assert_eq!(home.model.last_messages()[0], ("system".to_owned(), "Be brief.".to_owned()));
    assert_eq!(done(&home, &["config", "unset", "system_prompt"]), GIVEN);
    done(&home, &["ask", "--session", "t", "Two"]);
    assert_eq!(home.model.last_messages().len(), 1);
    let url = ["config", "set", "model", "openai/fake", "--url", daemon.url.as_str()];
    assert!(done(&home, &url).starts_with("model          openai/fake  (runtime)\n"));
    drop(daemon);
    assert!(done(&home, &["config"]).starts_with("model          openai/fake  (runtime)\n"));
}

#[test]
fn what_nobody_has_is_refused_in_words() {
    let home = Home::new();
    let file = home.path().join("Little.Q4_1.gguf");
    std::fs::write(&file, "GGUF").unwrap();
    let set = |model: &str| {
        let mut set = home.codexd(&["config", "set", "model", model]);
        Ended::of(&set.env("LOCAL_MODEL_PATH", &file).output().unwrap())
    };
    let ended = set("local/nobody-has-it");
    assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{}", ended.err);
    assert!(ended.err.ends_with(" [model_not_found]\n"), "{}", ended.err);
    assert!(ended.err.contains("local/nobody-has-it"), "{}", ended.err);
    assert!(ended.err.contains("`codexd models`"), "{}", ended.err);
    assert_eq!(done(&home, &["config"]), GIVEN);
    // A compatible server may have more than it lists.
    assert_eq!(set("openai/who-knows").code, 0);
    assert_eq!(set("local/little").code, 0);
    for wrong in [&["config", "set", "port", "1"][..], &["config", "unset"], &["config", "x"]] {
        let ended = home.run(wrong);
        assert_eq!(ended.code, 64, "{wrong:?}: {}", ended.err);
    }
}

#[test]
fn without_a_database_it_says_that_nothing_is_kept() {
    let home = Home::new();
    let mut set = home.codexd(&["config", "set", "system_prompt", "Be brief."]);
    let ended = Ended::of(&set.env("SQLITE_DB_PATH", "").output().unwrap());
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.contains("holds until the daemon ends"), "{}", ended.err);
}
