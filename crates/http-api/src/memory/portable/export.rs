//! Everything an owner has, written as the store gives it: one JSON document, or a session a line
//! and a last line that tells how many there are.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use brain_core::memory::{
    Document, ExportPart, ExportedEntry, ExportedSession, FormatVersion, LastLine, MemoryError,
    MemoryErrorKind,
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use http::{HeaderMap, header};
use serde::Serialize;
use tokio::task::yield_now;

use super::NDJSON;
use crate::{
    api::App,
    error::ApiError,
    extract::{Caller, accepts},
};

/// How much is written before it is sent.
const CHUNK: usize = 32 * 1024;

/// What an export begins with, a session a line.
#[derive(Debug, Serialize)]
struct Header {
    format: &'static str,
    v: FormatVersion,
}

/// Streams everything that the caller has, one entry at a time.
pub(crate) async fn export(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parts = app.brain.ports().store.export(&caller.0).await?;
    let form = if accepts(&headers, NDJSON) { Form::Lines } else { Form::Document };
    let media_type = match form {
        Form::Lines => NDJSON,
        Form::Document => "application/json",
    };
    let mut writer = Writer::new(parts, form);
    // What fails before the first chunk is full gets a status; later it breaks the body off.
    let first = writer.next_chunk().await?.map(Ok);
    let rest = writer.chunks().inspect_err(|error| tracing::error!(%error, "an export broke off"));
    let chunks = stream::iter(first).chain(rest);
    Ok(([(header::CONTENT_TYPE, media_type)], Body::from_stream(chunks)).into_response())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Document,
    Lines,
}

/// How far an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    /// Between two sessions.
    Sessions,
    /// In the entries of a session.
    Entries {
        is_first: bool,
    },
    End,
}

type Parts = BoxStream<'static, Result<ExportPart, MemoryError>>;

/// Writes the bytes of [`Document`], or the lines, without ever holding a session.
struct Writer {
    parts: Parts,
    form: Form,
    at: At,
    sessions: u64,
    buffer: BytesMut,
}

impl Writer {
    fn new(parts: Parts, form: Form) -> Self {
        Self { parts, form, at: At::Start, sessions: 0, buffer: BytesMut::new() }
    }

    fn chunks(self) -> BoxStream<'static, Result<Bytes, MemoryError>> {
        stream::try_unfold(self, |mut writer| async move {
            match writer.next_chunk().await {
                Ok(chunk) => Ok(chunk.map(|chunk| (chunk, writer))),
                Err(error) => {
                    // What is written goes on its way first: the rest of it ends with the
                    // connection.
                    yield_now().await;
                    Err(error)
                }
            }
        })
        .boxed()
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, MemoryError> {
        if self.at == At::Start {
            self.begin()?;
        }
        while self.at != At::End && self.buffer.len() < CHUNK {
            match self.parts.next().await.transpose()? {
                Some(ExportPart::Session(head)) => self.session(head.session())?,
                Some(ExportPart::Entry(entry)) => self.entry(&entry)?,
                None => self.end()?,
            }
        }
        let chunk = self.buffer.split().freeze();
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn begin(&mut self) -> Result<(), MemoryError> {
        self.at = At::Sessions;
        match self.form {
            Form::Document => {
                self.json(&Document::new(Vec::new()))?;
                self.cut(b"]}");
                Ok(())
            }
            Form::Lines => {
                self.json(&Header { format: Document::FORMAT, v: FormatVersion })?;
                self.text("\n");
                Ok(())
            }
        }
    }

    /// Begins a session; `head` has no entries yet.
    fn session(&mut self, head: &ExportedSession) -> Result<(), MemoryError> {
        self.end_session();
        if self.form == Form::Document && 0 < self.sessions {
            self.text(",");
        }
        self.sessions += 1;
        self.json(head)?;
        self.cut(b"]}");
        self.at = At::Entries { is_first: true };
        Ok(())
    }

    fn entry(&mut self, entry: &ExportedEntry) -> Result<(), MemoryError> {
        if self.at == (At::Entries { is_first: false }) {
            self.text(",");
        }
        self.at = At::Entries { is_first: false };
        self.json(entry)
    }

    fn end_session(&mut self) {
        if let At::Entries { .. } = self.at {
            self.text(if self.form == Form::Document { "]}" } else { "]}\n" });
            self.at = At::Sessions;
        }
    }

    fn end(&mut self) -> Result<(), MemoryError> {
        self.end_session();
        self.at = At::End;
        match self.form {
            Form::Document => self.text("]}"),
            Form::Lines => {
                self.json(&LastLine::End { sessions: self.sessions })?;
                self.text("\n");
            }
        }
        Ok(())
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), MemoryError> {
        let written = serde_json::to_writer((&mut self.buffer).writer(), value);
        written.map_err(|error| {
            MemoryError::new("write the export", MemoryErrorKind::Corrupt).with_source(error)
        })
    }

    fn text(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    /// Takes back what was written last.
    fn cut(&mut self, end: &[u8]) {
        if self.buffer.ends_with(end) {
            self.buffer.truncate(self.buffer.len() - end.len());
        }
    }
}
