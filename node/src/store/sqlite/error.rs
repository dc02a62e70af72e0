//! What SQLite says, in our words.

use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use crate::store::error::StoreError;

/// Less room than this makes a failed write a full disk.
const NO_ROOM: u64 = 1024 * 1024;

/// The error of a file.
pub(super) fn fail(path: &Path, error: &Error) -> StoreError {
    let path = path.to_owned();
    let code = error.sqlite_error();
    let extended = code.map_or(0, |code| code.extended_code);
    match code.map(|code| code.code) {
        Some(ErrorCode::DiskFull) => StoreError::NoSpace { path },
        Some(ErrorCode::SystemIoFailure) if writes(extended) && free(&path).is_some_and(|free| free < NO_ROOM) => {
            StoreError::NoSpace { path }
        }
        // What was written there can no longer be read: a cut end.
        Some(ErrorCode::SystemIoFailure) if extended == ffi::SQLITE_IOERR_SHORT_READ => {
            StoreError::Damaged { path, what: error.to_string() }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { path, what: error.to_string() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        _ => StoreError::Failed { path, reason: error.to_string() },
    }
}

fn writes(extended: i32) -> bool {
    matches!(
        extended,
        ffi::SQLITE_IOERR_WRITE
            | ffi::SQLITE_IOERR_FSYNC
            | ffi::SQLITE_IOERR_TRUNCATE
            | ffi::SQLITE_IOERR_SHMSIZE
            | ffi::SQLITE_IOERR_SHMMAP
            | ffi::SQLITE_IOERR_SHMOPEN
    )
}

/// Bytes that are free where a file is.
pub(super) fn free(path: &Path) -> Option<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let room = rustix::fs::statvfs(folder).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize))
}
