//! The entries of sessions: appending in one script, reading along a branch, erasing.

use async_trait::async_trait;
use brain_core::{
    ids::{Seq, SessionKey, Token},
    memory::{
        Append, Appended, Branch, Entry, Expect, Fence, Forget, Forgotten, MemoryError,
        MemoryErrorKind, NewSession, ReadOptions, Session, SessionLog, inside_tool_round,
    },
};
use redis::Value;

use crate::{
    branch,
    plan::{superseded_or, unfit},
    reply::Reply,
    scripts,
    state::{Description, parse_appended, word},
    store::{Attempts, Change, Committed, Look, RedisStore},
    value,
};

const APPEND: &str = "append to the session";
const MOVE: &str = "move the head";

/// What the append script says.
enum Said {
    Done(Appended),
    /// There is no session.
    Absent,
    Refused(MemoryErrorKind),
}

impl RedisStore {
    /// Runs the append script. With a description it may make the session.
    async fn run_append(
        &self,
        key: &SessionKey,
        append: &Append,
        create: Option<(Vec<u8>, Vec<u8>)>,
        token: Token,
    ) -> Result<Said, MemoryError> {
        let (now, description) = create.unwrap_or_else(|| (self.given_now(), Vec::new()));
        let (turn, holder) = match append.fence {
            Some(Fence { turn, holder }) => (turn.to_string(), holder.to_string()),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let words = [
            turn,
            holder,
            expectation(append.expect),
            word(append.parent),
            value::round(&append.drafts),
            token.to_string(),
        ];
        let mut args = vec![self.ttl(), now, append.append_id.as_str().as_bytes().to_vec()];
        args.extend(words.into_iter().map(String::into_bytes));
        args.push(description);
        let drafts = append.drafts.iter();
        args.extend(drafts.map(|it| value::marked(&it.body().message, it.json())));
        let keys = [self.keys.session(key)];
        let said = self.pool.script(APPEND, &scripts::APPEND, &keys, args, true).await?;
        said_by(said)
    }

    /// Makes the session and appends to it; `None` if somebody else has made it meanwhile.
    async fn append_first(
        &self,
        key: &SessionKey,
        append: &Append,
    ) -> Result<Option<Said>, MemoryError> {
        let seen = self.look(APPEND, key, Look::default()).await?;
        if seen.stored.is_some() {
            return Ok(None);
        }
        if append.parent.is_some() {
            return Err(unfit(MemoryErrorKind::UnknownParent));
        }
        if inside_tool_round(append.drafts.iter().rev().map(|it| &*it.body().message)) {
            return Err(unfit(MemoryErrorKind::InsideToolRound));
        }
        let session = Session::new(key.id.clone(), NewSession::default(), seen.now);
        let description = Description::of(APPEND, session.token, &session)?;
        self.note_session(APPEND, (key, seen.now), seen.now).await?;
        let now = seen.now.as_millis().to_string().into_bytes();
        let said = self.run_append(key, append, Some((now, description)), session.token).await?;
        Ok(Some(said))
    }
}

fn expectation(expect: Expect) -> String {
    match expect {
        Expect::Absent => "absent".to_owned(),
        Expect::Attach => "attach".to_owned(),
        Expect::At(token) => token.to_string(),
    }
}

fn said_by(value: Value) -> Result<Said, MemoryError> {
    let reply = Reply(APPEND);
    let [verb, what] = reply.array(value)?;
    let (verb, what) = (reply.text(verb)?, reply.text(what)?);
    if verb == "done" {
        return Ok(Said::Done(parse_appended(&what).ok_or_else(|| reply.corrupt())?));
    }
    Ok(Said::Refused(match what.as_str() {
        "absent" => return Ok(Said::Absent),
        "conflict" => MemoryErrorKind::Conflict,
        "superseded" => MemoryErrorKind::Superseded,
        "parent" => MemoryErrorKind::UnknownParent,
        "round" => MemoryErrorKind::InsideToolRound,
        "full" => MemoryErrorKind::Full,
        _ => return Err(reply.corrupt()),
    }))
}

#[async_trait]
impl SessionLog for RedisStore {
    async fn append(&self, key: &SessionKey, append: Append) -> Result<Appended, MemoryError> {
        let attempts = Attempts::new(APPEND);
        loop {
            let first = append.expect == Expect::Absent && append.fence.is_none();
            let mut said = self.run_append(key, &append, None, Token::random()).await?;
            if first && matches!(said, Said::Absent) {
                let Some(made) = self.append_first(key, &append).await? else {
                    attempts.again()?;
                    continue;
                };
                said = made;
            }
            return match said {
                Said::Done(appended) => {
                    // A turn notes itself when it begins and when it ends.
                    if append.fence.is_none() {
                        self.note_appended(APPEND, key).await;
                    }
                    Ok(appended)
                }
                Said::Refused(kind) => Err(MemoryError::new(APPEND, kind)),
                Said::Absent => {
                    let kind = self.absence(APPEND, key).await?;
                    Err(MemoryError::new(APPEND, superseded_or(kind, append.fence)))
                }
            };
        }
    }

    async fn read(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        branch::read(self, key, options).await
    }

    async fn scan(
        &self,
        key: &SessionKey,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, MemoryError> {
        branch::scan(self, key, after, limit).await
    }

    async fn move_head(
        &self,
        key: &SessionKey,
        expect: Token,
        head: Option<Seq>,
    ) -> Result<Session, MemoryError> {
        let attempts = Attempts::new(MOVE);
        loop {
            let look = Look { parent: head, round: "after".to_owned(), ..Look::default() };
            let seen = self.look(MOVE, key, look).await?;
            let Some(mut stored) = seen.stored.clone() else {
                return Err(MemoryError::new(MOVE, self.absence(MOVE, key).await?));
            };
            if stored.session.token != expect || stored.state.held.is_some() {
                return Err(MemoryError::new(MOVE, MemoryErrorKind::Conflict));
            }
            if !seen.parent_exists {
                return Err(unfit(MemoryErrorKind::UnknownParent));
            }
            if seen.inside_round {
                return Err(unfit(MemoryErrorKind::InsideToolRound));
            }
            stored.state.head = head;
            stored.changed(Token::random(), seen.now);
            let change =
                Change { guards: vec![seen.guard()], sets: stored.sets(), ..Change::default() };
            if self.commit(MOVE, key, change).await? == Committed::Yes {
                return Ok(stored.session);
            }
            attempts.again()?;
        }
    }

    async fn forget(&self, key: &SessionKey, forget: Forget) -> Result<Forgotten, MemoryError> {
        self.erase(key, forget).await
    }

    async fn forget_entry(&self, key: &SessionKey, seq: Seq) -> Result<Forgotten, MemoryError> {
        self.erase_entry(key, seq).await
    }
}
