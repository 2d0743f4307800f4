//! A disk without room: a small one, in memory, that only root can make.

use std::{fs, path::Path, process::Command, sync::Arc};

use brain_core::{
    ids::Owner,
    memory::{
        Append, Expect, Forget, MemoryErrorKind, MemoryStore, Portable, ReadOptions, SessionLog,
    },
};
use brain_testkit::ManualClock;
use memory_sqlite::{OpenError, SqliteStore};

use crate::{config, draft, erase::prove_forgotten, key, migrate, open, say};

/// A file system of so many KiB, until it is dropped.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None` where we may not mount one; then the caller has nothing to try.
    fn new(size: u32) -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        disk.mount(&format!("size={size}k")).then_some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.path());
        mount.output().is_ok_and(|it| it.status.success())
    }

    fn resize(&self, size: u32) {
        assert!(self.mount(&format!("remount,size={size}k")));
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.path()).output().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_made_and_nothing_destroyed() {
    let Some(disk) = Disk::new(64) else { return };
    let refusal = || {
        let clock = Arc::new(ManualClock::new());
        SqliteStore::open(&config(disk.path()), clock).unwrap_err()
    };
    let error = refusal();
    assert!(matches!(error, OpenError::Full(_)), "{error:?}");

    disk.resize(64_000);
    let path = disk.path().join("memory.db");
    fs::remove_file(&path).unwrap();
    let turn = migrate::version_1(&path);
    let (before, blocks) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().len() / 1024);
    disk.resize(u32::try_from(blocks).unwrap() + 48);
    let error = refusal();
    let room = match error {
        OpenError::NoRoom { needed, free, .. } => Some((needed, free)),
        _ => None,
    };
    let (needed, free) = room.unwrap();
    assert!(free < needed, "{free} of {needed}");
    assert!(fs::read(&path).unwrap() == before);
    // What it asks for is enough, with the few KiB that a file system takes for itself.
    disk.resize(u32::try_from(blocks + needed / 1024).unwrap() + 256);
    drop(open(disk.path()));
    disk.resize(64_000);
    migrate::check(disk.path(), turn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writers_and_loses_nothing() {
    let Some(disk) = Disk::new(6_000) else { return };
    let store = open(disk.path());
    let (mut parent, mut stored) = (None, 0);
    let error = loop {
        let expect = if parent.is_none() { Expect::Absent } else { Expect::Attach };
        let append = say(&stored.to_string(), parent, expect);
        let drafts = vec![draft(&"x".repeat(20_000))];
        match store.append(&key("s"), Append { drafts, ..append }).await {
            Ok(appended) => parent = appended.last,
            Err(error) => break error,
        }
        stored += 1;
    };
    assert_eq!(error.kind(), MemoryErrorKind::Full, "{error:?}");
    // Its probe is small: what the log gave back meanwhile may be room enough for that.
    if let Err(error) = store.health().await {
        assert_eq!(error.kind(), MemoryErrorKind::Full, "{error:?}");
    }
    let error = store.export(&Owner::local()).await.err().unwrap();
    assert_eq!(error.kind(), MemoryErrorKind::Full, "{error:?}");
    let branch = store.read(&key("s"), ReadOptions::newest(usize::MAX)).await.unwrap().unwrap();
    assert_eq!(stored, branch.entries.len());

    disk.resize(20_000);
    store.append(&key("s"), say("after", parent, Expect::Attach)).await.unwrap();
    store.health().await.unwrap();
    let forgotten = store.forget(&key("s"), Forget::Always).await.unwrap();
    assert_eq!(forgotten.erased, stored as u64 + 1);
    prove_forgotten(&store, &key("s")).await;
}
