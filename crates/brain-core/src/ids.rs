//! Names and positions: who owns a session, what it is called, where in it something stands.
//!
//! None of these is a secret and none of them proves anything about who asks.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::time::Timestamp;

/// Most bytes of an [`Owner`], a [`SessionId`] or an [`IdempotencyKey`].
pub const MAX_ID_BYTES: usize = 512;

/// A name is empty or too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must have 1 to {MAX_ID_BYTES} bytes, not {bytes}")]
pub struct InvalidId {
    what: &'static str,
    bytes: usize,
}

fn check(what: &'static str, raw: String) -> Result<String, InvalidId> {
    if (1..=MAX_ID_BYTES).contains(&raw.len()) {
        return Ok(raw);
    }
    Err(InvalidId { what, bytes: raw.len() })
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks the length: 1 to 512 bytes of any UTF-8.
            ///
            /// # Errors
            ///
            /// When it is empty or longer.
            pub fn new(raw: impl Into<String>) -> Result<Self, InvalidId> {
                check($what, raw.into()).map(Self)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    };
}

text_id! {
    /// Whom sessions belong to. It comes from the credentials of a request, never from its body.
    Owner, "an owner"
}

text_id! {
    /// What a conversation is called, unique for its owner.
    SessionId, "a session id"
}

text_id! {
    /// A client's name for one request, so that sending it again does nothing twice.
    IdempotencyKey, "an idempotency key"
}

text_id! {
    /// A caller's name for one append, so that asking again returns the first result.
    AppendId, "an append id"
}

impl Owner {
    /// The owner of everything where no keys are configured.
    #[must_use]
    pub fn local() -> Self {
        Self("local".to_owned())
    }
}

impl SessionId {
    /// A new id of ours: a UUIDv7, so ids sort by the time they were made.
    #[must_use]
    pub fn generate(now: Timestamp) -> Self {
        Self(uuid_v7(now).to_string())
    }

    /// The id of a session that a request names only by its idempotency key.
    #[must_use]
    pub fn derived(owner: &Owner, key: &IdempotencyKey) -> Self {
        let mut hash = Sha256::new();
        hash.update(u64::try_from(owner.0.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(&owner.0);
        hash.update(&key.0);
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
    }
}

impl AppendId {
    /// The id of a turn's append number `step`, from 0.
    #[must_use]
    pub fn of_turn(turn: TurnId, step: u32) -> Self {
        Self(format!("{turn}/{step}"))
    }
}

/// The full name of a session: no method, key or index uses less.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// Whose it is.
    pub owner: Owner,
    /// What it is called.
    pub id: SessionId,
}

impl SessionKey {
    /// The session `id` of `owner`.
    #[must_use]
    pub fn new(owner: Owner, id: SessionId) -> Self {
        Self { owner, id }
    }
}

/// Position of an entry in its session: 1, 2, 3 …, never reused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Reads the text form; `None` if it is not one.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

random_id! {
    /// Names one turn; a UUIDv7.
    TurnId
}

random_id! {
    /// The state of a session: 128 random bits, new with each append, head move and forget.
    ///
    /// Compared for equality only. A counter could not prove freshness: a session that was
    /// forgotten and made again counts up to the same number.
    Token
}

random_id! {
    /// One run of one process that may hold turns.
    HolderId
}

random_id! {
    /// One database, from when it is made: what stands elsewhere for its sake is known by it.
    DatabaseId
}

impl TurnId {
    /// A new turn.
    #[must_use]
    pub fn generate(now: Timestamp) -> Self {
        Self(uuid_v7(now))
    }
}

impl Token {
    /// A token that nobody has seen.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl HolderId {
    /// A holder that nobody has seen.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl DatabaseId {
    /// A database that is made now.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

fn uuid_v7(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, nanos))
}

#[cfg(test)]
mod tests {
    use super::{IdempotencyKey, MAX_ID_BYTES, Owner, SessionId};
    use crate::time::Timestamp;

    #[test]
    fn ids_hold_any_text_of_1_to_512_bytes() {
        for good in ["a", " ", "\0", "a/b?c=d#e", "日本", &"x".repeat(MAX_ID_BYTES)] {
            assert_eq!(SessionId::new(good).unwrap().as_str(), good);
        }
        assert!(SessionId::new("").is_err());
        assert!(SessionId::new("x".repeat(MAX_ID_BYTES + 1)).is_err());
    }

    #[test]
    fn derived_ids_differ_by_owner_and_key() {
        let derive = |owner: &str, key: &str| {
            SessionId::derived(&Owner::new(owner).unwrap(), &IdempotencyKey::new(key).unwrap())
        };
        assert_eq!(derive("a", "bc"), derive("a", "bc"));
        assert_ne!(derive("a", "bc"), derive("ab", "c"));
    }

    #[test]
    fn generated_ids_sort_by_time() {
        let early = SessionId::generate(Timestamp::from_millis(1_000));
        let late = SessionId::generate(Timestamp::from_millis(2_000));
        assert!(early < late);
    }
}
