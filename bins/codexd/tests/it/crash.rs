//! `kill -9` in the middle of an answer: nothing that was said is lost.

use serde_json::json;

use crate::{daemon::Home, fake::LONG};

#[test]
fn what_was_said_outlives_the_process() {
    let home = Home::new();
    for round in 1..=3 {
        let session = format!("round-{round}");
        let daemon = home.serve();
        daemon.chat(&session, "hang").until("text.delta");
        // The one writer commits in order: what the checkpoint holds is stored by now.
        daemon.post("/memory/sessions", &json!({"id": format!("marker-{round}")}));
        daemon.kill();

        let daemon = home.serve();
        let messages = daemon.messages(&session);
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert_eq!(messages[0], ("user".into(), "complete".into(), "hang".into()));
        let (role, status, text) = &messages[1];
        assert_eq!((role.as_str(), status.as_str()), ("assistant", "interrupted"));
        assert_eq!(text.len(), LONG);
        daemon.chat(&session, "Again").until("turn.completed");
        assert_eq!(daemon.messages(&session)[3].2, "So you say: Again");
        daemon.stop();
    }
}
