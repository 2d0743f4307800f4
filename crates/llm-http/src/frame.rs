//! What both decoders share: how large a piece of a stream may be, and what a line begins with.
//!
//! It decodes nothing.

/// Most bytes of one event or line of a stream.
pub const MAX_FRAME_BYTES: usize = 10 * 1024 * 1024;

/// A piece of the stream grew beyond the limit; what follows it cannot be read either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a piece of the stream is larger than {limit} bytes")]
pub struct FrameTooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

/// Whether `bytes` stay within `limit`.
pub(crate) fn check_size(bytes: usize, limit: usize) -> Result<(), FrameTooLarge> {
    if limit < bytes { Err(FrameTooLarge { limit }) } else { Ok(()) }
}

/// The line without the byte order mark that the first line of a stream may begin with.
pub(crate) fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
}

#[cfg(test)]
pub(crate) mod tests {
    //! Cuts for the decoders' tests.

    use proptest::{prelude::*, sample::Index};

    /// Up to a dozen places to cut at.
    pub(crate) fn cuts() -> impl Strategy<Value = Vec<Index>> {
        prop::collection::vec(any::<Index>(), 0..12)
    }

    /// `bytes` cut at these places.
    pub(crate) fn cut<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
        let mut places: Vec<usize> = places.iter().map(|it| it.index(bytes.len() + 1)).collect();
        places.sort_unstable();
        let mut chunks = Vec::new();
        let mut begin = 0;
        for place in places {
            chunks.push(&bytes[begin..place]);
            begin = place;
        }
        chunks.push(&bytes[begin..]);
        chunks
    }

    /// `bytes` in two, at every offset.
    pub(crate) fn halves(bytes: &[u8]) -> impl Iterator<Item = [&[u8]; 2]> {
        (0..=bytes.len()).map(|at| bytes.split_at(at).into())
    }
}
