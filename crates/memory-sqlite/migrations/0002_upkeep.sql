-- What background work needs: summaries, what was forgotten, and indexes to find old things by.

-- A text that stands for an entry and its ancestors.
CREATE TABLE summaries (
    session    INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    text       TEXT    NOT NULL,
    model      TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (session, at)
) STRICT;

-- What was forgotten, as long as bytes of it may stand in these files, or a copy elsewhere.
CREATE TABLE tombstones (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    owner     BLOB    NOT NULL,
    name      BLOB    NOT NULL,
    pending   INTEGER NOT NULL, -- entries of which bytes may stand here
    settled   INTEGER NOT NULL, -- whether there is no copy elsewhere
    buried_at INTEGER NOT NULL
) STRICT;

CREATE INDEX tombstones_by_name ON tombstones (owner, name);
CREATE INDEX tombstones_pending ON tombstones (id) WHERE 0 < pending;
CREATE INDEX tombstones_unsettled ON tombstones (id) WHERE NOT settled;

-- A session without an owner is hidden: it is being restored, or being erased, and then doomed.
ALTER TABLE sessions ADD COLUMN doomed INTEGER NOT NULL DEFAULT FALSE;

CREATE INDEX sessions_doomed ON sessions (id) WHERE doomed;
CREATE INDEX sessions_by_change ON sessions (updated_at, owner, name) WHERE owner <> X'';
CREATE INDEX turns_by_end ON turns (ended_at) WHERE ended_at IS NOT NULL;
