-- Names that clients choose are BLOBs: bytes compare as bytes, whatever they hold.
-- Times are milliseconds since 1970. JSON is kept as it came and never looked into.

PRAGMA application_id = 1129268325; -- "CODe"

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY,
    owner      BLOB    NOT NULL,
    name       BLOB    NOT NULL,
    title      TEXT,
    metadata   TEXT,
    system     TEXT,
    recall     INTEGER NOT NULL,
    class      TEXT    NOT NULL,
    head       INTEGER,
    token      TEXT    NOT NULL,
    entries    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (owner, name)
) STRICT;

CREATE INDEX sessions_by_age ON sessions (owner, created_at, name);

CREATE TABLE messages (
    id         INTEGER PRIMARY KEY,
    session    INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    seq        INTEGER NOT NULL CHECK (0 < seq),
    parent     INTEGER CHECK (parent < seq),
    role       TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    json       TEXT    NOT NULL,
    folded     BLOB    NOT NULL, -- the text in lower case, for search
    UNIQUE (session, seq)
) STRICT;

-- What each append did, so that asking again returns the same.
CREATE TABLE appends (
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    name    BLOB    NOT NULL,
    last    INTEGER,
    head    INTEGER,
    token   TEXT    NOT NULL,
    PRIMARY KEY (session, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE turns (
    row              INTEGER PRIMARY KEY,
    id               TEXT    NOT NULL UNIQUE,
    session          INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    owner            BLOB    NOT NULL,
    key              BLOB,
    request_hash     TEXT,
    request          TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    holder           TEXT    NOT NULL,
    lease_until      INTEGER,
    text             TEXT    NOT NULL DEFAULT '',
    reasoning        TEXT    NOT NULL DEFAULT '',
    calls            TEXT    NOT NULL DEFAULT '[]',
    last_event       INTEGER NOT NULL DEFAULT 0,
    tail             INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT FALSE,
    input            INTEGER,
    answer           INTEGER,
    error            TEXT,
    usage            TEXT,
    opened_at        INTEGER NOT NULL,
    ended_at         INTEGER
) STRICT;

CREATE INDEX turns_by_session ON turns (session);
CREATE INDEX turns_by_key ON turns (owner, key) WHERE key IS NOT NULL;
-- One at a time.
CREATE UNIQUE INDEX turns_open ON turns (session) WHERE ended_at IS NULL;

-- Settings that change at run time.
CREATE TABLE configuration (
    key        TEXT    PRIMARY KEY,
    value      TEXT    NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Facts about this database.
CREATE TABLE metadata (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
