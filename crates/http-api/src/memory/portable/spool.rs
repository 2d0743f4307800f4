//! A body on the disk: as much of it in memory as comes at a time.
//!
//! The file has no name, so that nothing is left of it whatever ends the process.

use std::{fs::File, io, io::Seek as _, path::Path};

use axum::extract::Request;
use http::StatusCode;
use tokio::io::AsyncWriteExt as _;

use crate::{
    api::App,
    body::{Pieces, check_encoding},
    error::ApiError,
};

/// Writes the body of a request to a file, and returns it, ready to be read.
pub(super) async fn spool(app: &App, request: Request) -> Result<File, ApiError> {
    let max_bytes = app.config.max_import_bytes;
    let plain = check_encoding(request.headers());
    let mut pieces = Pieces::of(app, request);
    let spooled = match plain {
        Ok(()) => write(&mut pieces, max_bytes, app.config.spool_dir.as_deref()).await,
        Err(error) => Err(error),
    };
    if spooled.is_err() {
        pieces.linger().await;
    }
    spooled
}

async fn write(
    pieces: &mut Pieces<'_>,
    max_bytes: u64,
    folder: Option<&Path>,
) -> Result<File, ApiError> {
    if max_bytes < pieces.declared() {
        return Err(too_large(max_bytes));
    }
    let file = folder.map_or_else(tempfile::tempfile, tempfile::tempfile_in).map_err(no_room)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut length = 0;
    while let Some(piece) = pieces.next().await? {
        length += piece.len() as u64;
        if max_bytes < length {
            return Err(too_large(max_bytes));
        }
        file.write_all(&piece).await.map_err(no_room)?;
    }
    file.flush().await.map_err(no_room)?;
    let mut file = file.into_std().await;
    file.rewind().map_err(no_room)?;
    Ok(file)
}

fn too_large(max_bytes: u64) -> ApiError {
    let detail = format!(
        "the import has more than the {max_bytes} bytes that are allowed; send less, or have \
         MAX_IMPORT_BYTES set to more"
    );
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

fn no_room(error: io::Error) -> ApiError {
    let detail = "the import cannot be kept while it is read; make room on the disk";
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", detail).with_source(error)
}
