//! The names of keys and of the fields of a session's hash: the layout of the data, in one place.
//!
//! | key | type | what it holds |
//! |---|---|---|
//! | `P:s:{OWNER.SESSION}` | hash | a session with its entries, turns, append ids and summaries |
//! | `P:c:{OWNER.SESSION}` | hash | a copy of the newest entries of a session that lives elsewhere |
//! | `P:r:{OWNER.SESSION}` | hash | a session that is being restored in pieces; a minute |
//! | `P:x:{OWNER.SESSION}` | string | when the session was forgotten; kept for a day |
//! | `P:v:{OWNER.SESSION}` | set | turns that never opened and may not open any more; a day |
//! | `P:o:{OWNER}` | sorted set | the owner's sessions by when they were made |
//! | `P:d:{OWNER}` | sorted set | sessions of that index that were missed once, and when |
//! | `P:i:OWNER.KEY` | string | which turn a client's idempotency key belongs to; a day |
//! | `P:t:TURN` | string | which session a turn belongs to |
//! | `P:{turns}:open`, `P:{turns}:over` | sorted set | turns by when they were opened, or ended |
//! | `P:sessions` | sorted set | sessions by when they were last known to change |
//! | `P:forgotten` | sorted set | sessions whose copies elsewhere are not known to be erased; a day |
//! | `P:{probe}:…` | any | what a check of health writes; a second at most |
//!
//! `P` is the configured prefix. In front of a database it is the prefix, a colon and the database's
//! id, so that databases never meet; what a Redis alone has kept is moved there before it is used.
//! Names stand in them as base64url, so that no character of theirs
//! means anything, and two names never make one key. A session's own keys share a hash tag and so
//! a node of a cluster. What is not a session's own is an index: it is written before the session
//! and checked when it is read, so that it may hold too much, never too little.
//!
//! | field of a session | what it holds |
//! |---|---|
//! | `s` | the state: see [`crate::state::State`] |
//! | `h` | the description as JSON: what a patch changes |
//! | `u` | when it was last changed |
//! | `e:SEQ` | an entry: its parent, its mark, its canonical JSON |
//! | `a:ID` | what the append of this id did |
//! | `t:TURN`, `q:TURN`, `n:TURN`, `k:TURN` | a turn: its record, request, progress, and text under way |
//! | `m`, `m:SEQ` | where summaries were made, and each of them |
//! | `g` | which positions an import left out |
//! | `w:SEQ` | the embedding of an entry: model, line feed, numbers |
//! | `y` | up to which position entries are embedded, and by which model |
//! | `f:SEQ` | that an entry was forgotten |
//! | `z` | how many bytes the entries of a copy have |
//! | `r` | who restores a session, while it is put together |

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use brain_core::ids::{
    AppendId, DatabaseId, IdempotencyKey, Owner, Seq, SessionId, SessionKey, TurnId,
};

/// The keys of one installation.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// A session's name as it stands in keys and in indexes: `OWNER.SESSION`.
pub(crate) fn name_of(key: &SessionKey) -> String {
    format!("{}.{}", encoded(key.owner.as_str()), encoded(key.id.as_str()))
}

/// The session of such a name.
pub(crate) fn parse_name(name: &str) -> Option<SessionKey> {
    let (owner, id) = name.split_once('.')?;
    let owner = Owner::new(decoded(owner)?).ok()?;
    Some(SessionKey::new(owner, SessionId::new(decoded(id)?).ok()?))
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The keys of an installation that is in front of this database.
    pub(crate) fn before(&self, database: DatabaseId) -> Self {
        Self { prefix: format!("{}:{database}", self.prefix) }
    }

    fn of_session(&self, kind: char, key: &SessionKey) -> Vec<u8> {
        format!("{}:{kind}:{{{}}}", self.prefix, name_of(key)).into_bytes()
    }

    fn of_owner(&self, kind: char, owner: &Owner) -> Vec<u8> {
        format!("{}:{kind}:{{{}}}", self.prefix, encoded(owner.as_str())).into_bytes()
    }

    fn of_all(&self, name: &str) -> Vec<u8> {
        format!("{}:{name}", self.prefix).into_bytes()
    }

    pub(crate) fn session(&self, key: &SessionKey) -> Vec<u8> {
        self.of_session('s', key)
    }

    pub(crate) fn copy(&self, key: &SessionKey) -> Vec<u8> {
        self.of_session('c', key)
    }

    pub(crate) fn staged(&self, key: &SessionKey) -> Vec<u8> {
        self.of_session('r', key)
    }

    pub(crate) fn burial(&self, key: &SessionKey) -> Vec<u8> {
        self.of_session('x', key)
    }

    pub(crate) fn void_turns(&self, key: &SessionKey) -> Vec<u8> {
        self.of_session('v', key)
    }

    pub(crate) fn index(&self, owner: &Owner) -> Vec<u8> {
        self.of_owner('o', owner)
    }

    pub(crate) fn suspects(&self, owner: &Owner) -> Vec<u8> {
        self.of_owner('d', owner)
    }

    pub(crate) fn claim(&self, owner: &Owner, key: &IdempotencyKey) -> Vec<u8> {
        let (owner, key) = (encoded(owner.as_str()), encoded(key.as_str()));
        self.of_all(&format!("i:{owner}.{key}"))
    }

    pub(crate) fn turn(&self, turn: TurnId) -> Vec<u8> {
        self.of_all(&format!("t:{turn}"))
    }

    pub(crate) fn open_turns(&self) -> Vec<u8> {
        self.of_all("{turns}:open")
    }

    pub(crate) fn ended_turns(&self) -> Vec<u8> {
        self.of_all("{turns}:over")
    }

    pub(crate) fn sessions(&self) -> Vec<u8> {
        self.of_all("sessions")
    }

    /// What a check of health writes: a text, a hash, its other name, a sorted set and a set.
    pub(crate) fn probes(&self) -> [Vec<u8>; 5] {
        ["text", "hash", "other", "sorted", "members"]
            .map(|it| self.of_all(&format!("{{probe}}:{it}")))
    }

    pub(crate) fn forgotten(&self) -> Vec<u8> {
        self.of_all("forgotten")
    }
}

/// The state of a session.
pub(crate) const STATE: &[u8] = b"s";
/// What a patch changes.
pub(crate) const DESCRIPTION: &[u8] = b"h";
/// When the session was last changed.
pub(crate) const UPDATED: &[u8] = b"u";
/// Where summaries were made.
pub(crate) const SUMMARIES: &[u8] = b"m";
/// Which positions an import left out.
pub(crate) const GAPS: &[u8] = b"g";

/// Up to which position entries are embedded.
pub(crate) const EMBEDDED: &[u8] = b"y";

/// That an entry was forgotten.
pub(crate) fn forgotten(seq: Seq) -> Vec<u8> {
    format!("f:{seq}").into_bytes()
}

/// An entry's embedding.
pub(crate) fn embedding(seq: Seq) -> Vec<u8> {
    format!("w:{seq}").into_bytes()
}

pub(crate) fn entry(seq: Seq) -> Vec<u8> {
    format!("e:{seq}").into_bytes()
}

pub(crate) fn append(id: &AppendId) -> Vec<u8> {
    [b"a:", id.as_str().as_bytes()].concat()
}

pub(crate) fn summary(at: Seq) -> Vec<u8> {
    format!("m:{at}").into_bytes()
}

/// The fields of a turn: record, request, progress, text under way.
pub(crate) fn turn(id: TurnId) -> [Vec<u8>; 4] {
    ["t", "q", "n", "k"].map(|it| format!("{it}:{id}").into_bytes())
}

#[cfg(test)]
mod tests {
    use brain_core::ids::{DatabaseId, Owner, SessionId, SessionKey};

    use super::{Keys, name_of, parse_name};

    fn key(owner: &str, id: &str) -> SessionKey {
        SessionKey::new(Owner::new(owner).unwrap(), SessionId::new(id).unwrap())
    }

    #[test]
    fn names_of_any_characters_come_back_and_make_one_hash_tag() {
        let long = "x".repeat(512);
        for id in ["}", "{", "a.b", "*?[", "a:b", "%", " ", "\0", "日本", &long] {
            let key = key("}{.", id);
            assert_eq!(parse_name(&name_of(&key)), Some(key.clone()));
            let text = String::from_utf8(Keys::new("p").session(&key)).unwrap();
            assert_eq!(text.matches(['{', '}']).count(), 2, "{text}");
        }
    }

    #[test]
    fn a_session_of_a_database_has_the_hash_tag_of_one_without() {
        let tag = |keys: &Keys| {
            let text = String::from_utf8(keys.session(&key("ann", "s"))).unwrap();
            let (before, tag) = text.split_once('{').unwrap();
            (before.to_owned(), tag.to_owned())
        };
        let alone = Keys::new("p");
        let [one, other] = [(), ()].map(|()| alone.before(DatabaseId::random()));
        let names = [&alone, &one, &other].map(tag);
        assert!(names.iter().all(|it| it.1 == names[0].1), "{names:?}");
        assert!(names[0].0 != names[1].0 && names[1].0 != names[2].0, "{names:?}");
    }

    #[test]
    fn owner_and_id_are_never_run_together() {
        assert_ne!(name_of(&key("a", "bc")), name_of(&key("ab", "c")));
        assert_ne!(name_of(&key("a.b", "c")), name_of(&key("a", "b.c")));
    }
}
