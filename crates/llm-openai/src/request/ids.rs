//! The ids of tool calls as they go over the wire; pure.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use brain_core::llm::ChatRequest;

/// Letters and digits of a short id.
const SHORT: usize = 9;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The id of each tool call on the wire, by our id.
///
/// That is the provider's own, so that a conversation goes on as the provider knows it; ours where
/// it gave none or one that an earlier call has already. Where ids must be short, another
/// provider's and ours are replaced by short ones of the same conversation.
pub(super) struct WireIds<'a>(HashMap<&'a str, Cow<'a, str>>);

impl<'a> WireIds<'a> {
    pub(super) fn of(request: &'a ChatRequest, short: bool) -> Self {
        let mut taken = HashSet::new();
        let calls = request.messages.iter().flat_map(|message| &message.tool_calls);
        let ids = calls.map(|call| {
            let theirs = call.provider_id.as_deref().filter(|id| taken.insert(Cow::Borrowed(*id)));
            let id = theirs.unwrap_or(&call.id);
            let id = if short && !is_short(id) { shortened(id, &mut taken) } else { id.into() };
            (call.id.as_str(), id)
        });
        Self(ids.collect())
    }

    pub(super) fn get(&self, id: &'a str) -> Cow<'a, str> {
        self.0.get(id).cloned().unwrap_or(Cow::Borrowed(id))
    }
}

fn is_short(id: &str) -> bool {
    id.len() == SHORT && id.bytes().all(|it| it.is_ascii_alphanumeric())
}

/// A short id for `id` that nothing else has; the same for the same conversation.
fn shortened<'a>(id: &str, taken: &mut HashSet<Cow<'a, str>>) -> Cow<'a, str> {
    let mut hasher = DefaultHasher::new();
    loop {
        id.hash(&mut hasher);
        let short = digits(hasher.finish());
        if taken.insert(Cow::Owned(short.clone())) {
            return Cow::Owned(short);
        }
    }
}

fn digits(mut number: u64) -> String {
    let base = DIGITS.len() as u64;
    let next = std::iter::repeat_with(|| {
        let digit = usize::try_from(number % base).ok().and_then(|at| DIGITS.get(at));
        number /= base;
        digit.copied().map_or('0', char::from)
    });
    next.take(SHORT).collect()
}
