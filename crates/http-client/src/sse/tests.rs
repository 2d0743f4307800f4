//! Events out of bytes.

use serde_json::json;

use super::{Event, next_event};

#[test]
fn events_are_read_and_what_is_cut_off_is_not() {
    let text = ": beat\n\nid: 3\r\nevent: text.delta\r\ndata: {\"text\":\r\ndata: \"a: b\"}\r\n\r\n\
                id: 4\nevent: turn.completed\ndata: {}\n";
    let mut body = text.as_bytes();
    let event = Event { id: 3, name: "text.delta".into(), data: json!({"text": "a: b"}) };
    assert_eq!(next_event(&mut body).unwrap(), Some(event));
    assert_eq!(next_event(&mut body).unwrap(), None);
}
