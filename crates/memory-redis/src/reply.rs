//! What Redis replies, as values; a reply of another shape is corrupt data, never a panic.

use brain_core::memory::{MemoryError, MemoryErrorKind};
use redis::Value;

/// A reply of one operation, to be taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply(pub(crate) &'static str);

impl Reply {
    pub(crate) fn corrupt(self) -> MemoryError {
        MemoryError::new(self.0, MemoryErrorKind::Corrupt)
    }

    pub(crate) fn list(self, value: Value) -> Result<Vec<Value>, MemoryError> {
        match value {
            Value::Array(values) => Ok(values),
            _ => Err(self.corrupt()),
        }
    }

    /// Exactly so many values.
    pub(crate) fn array<const N: usize>(self, value: Value) -> Result<[Value; N], MemoryError> {
        self.list(value)?.try_into().map_err(|_| self.corrupt())
    }

    /// Bytes, or nothing.
    pub(crate) fn bytes(self, value: Value) -> Result<Option<Vec<u8>>, MemoryError> {
        match value {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => Ok(Some(bytes)),
            _ => Err(self.corrupt()),
        }
    }

    pub(crate) fn fields(self, value: Value) -> Result<Vec<Option<Vec<u8>>>, MemoryError> {
        self.list(value)?.into_iter().map(|it| self.bytes(it)).collect()
    }

    pub(crate) fn text(self, value: Value) -> Result<String, MemoryError> {
        let bytes = self.bytes(value)?.ok_or_else(|| self.corrupt())?;
        String::from_utf8(bytes).map_err(|error| self.corrupt().with_source(error))
    }

    pub(crate) fn optional_text(self, value: Value) -> Result<Option<String>, MemoryError> {
        if value == Value::Nil { Ok(None) } else { self.text(value).map(Some) }
    }

    /// A number, as a number or as text.
    pub(crate) fn int(self, value: Value) -> Result<i64, MemoryError> {
        match value {
            Value::Int(number) => Ok(number),
            other => self.text(other)?.parse().map_err(|_| self.corrupt()),
        }
    }

    /// What text says.
    pub(crate) fn parsed<T>(
        self,
        text: &[u8],
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, MemoryError> {
        std::str::from_utf8(text).ok().and_then(parse).ok_or_else(|| self.corrupt())
    }

    /// The JSON of something of ours.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        self,
        json: &[u8],
    ) -> Result<T, MemoryError> {
        serde_json::from_slice(json).map_err(|error| self.corrupt().with_source(error))
    }
}
