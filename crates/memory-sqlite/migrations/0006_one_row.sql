-- What an append writes, in one row: what search needs of an entry and what the append did stand
-- beside what was said. So many who append at once write few pages beside those of their entries.

DROP TRIGGER recall_added;
DROP TRIGGER recall_removed;
DROP TRIGGER recall_moved;
DROP TRIGGER recall_followed;

CREATE TABLE entries (
    id         INTEGER PRIMARY KEY,
    session    INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    seq        INTEGER NOT NULL CHECK (0 < seq),
    parent     INTEGER CHECK (parent < seq),
    role       TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    place      INTEGER NOT NULL, -- how many entries could be found in the session, up to this one
    words      INTEGER,          -- how many it has, if it can be found
    asks       INTEGER,          -- whether it ends with a question
    model      TEXT,             -- who embedded it
    append     BLOB,             -- which append ended with it,
    head       INTEGER,          -- and what that left
    token      TEXT,
    json       TEXT    NOT NULL,
    UNIQUE (session, seq)
) STRICT;

CREATE TEMP TABLE places (message INTEGER PRIMARY KEY, place INTEGER NOT NULL);
INSERT INTO temp.places
    SELECT m.id, coalesce(e.place, max(coalesce(e.place, 0)) OVER
                                       (PARTITION BY m.session ORDER BY m.seq))
    FROM messages m LEFT JOIN recall_entries e ON e.message = m.id;

INSERT INTO entries (id, session, seq, parent, role, status, created_at,
                     place, words, asks, model, json)
    SELECT m.id, m.session, m.seq, m.parent, m.role, m.status, m.created_at,
           p.place, e.words, e.asks, e.model, m.json
    FROM messages m JOIN temp.places p ON p.message = m.id
                    LEFT JOIN recall_entries e ON e.message = m.id
    ORDER BY m.id;
DROP TABLE temp.places;

CREATE TABLE vectors (
    session INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    place   INTEGER NOT NULL,
    model   TEXT    NOT NULL,
    scale   REAL    NOT NULL,
    numbers BLOB    NOT NULL,
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;

INSERT INTO vectors (session, seq, place, model, scale, numbers)
    SELECT v.session, m.seq, v.place, v.model, v.scale, v.numbers
    FROM recall_vectors v JOIN recall_entries e ON e.session = v.session AND e.place = v.place
                          JOIN messages m ON m.id = e.message;

-- How much of a session can be found; nobody finds a hidden one.
ALTER TABLE sessions ADD COLUMN findable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN words INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET (findable, words) =
    (SELECT r.entries, r.words FROM recall_sessions r WHERE r.session = sessions.id)
    WHERE id IN (SELECT session FROM recall_sessions);

DROP TABLE recall_vectors;
DROP TABLE recall_sessions;
DROP TABLE recall_entries;
DROP TABLE messages;
ALTER TABLE entries RENAME TO messages;
ALTER TABLE vectors RENAME TO recall_vectors;

-- Appends of turns have names that rise with time: their neighbours are those of the same moment.
-- What appended nothing, and what earlier versions noted, is in the table of appends.
CREATE UNIQUE INDEX messages_by_append ON messages (append, session) WHERE append IS NOT NULL;
CREATE INDEX messages_by_model ON messages (model) WHERE words IS NOT NULL;

DROP INDEX sessions_by_change;
CREATE INDEX sessions_by_change ON sessions (updated_at) WHERE owner <> X'';

-- How much can be found of what an owner has.
CREATE TABLE recall_owners (
    owner    BLOB    PRIMARY KEY,
    sessions INTEGER NOT NULL,
    entries  INTEGER NOT NULL,
    words    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO recall_owners (owner, sessions, entries, words)
    SELECT owner, count(*), sum(findable), sum(words) FROM sessions
    WHERE owner <> X'' AND 0 < findable GROUP BY owner;

CREATE TRIGGER recall_grew AFTER UPDATE OF findable ON sessions
WHEN old.owner = new.owner AND old.findable < new.findable AND new.owner <> X'' BEGIN
    INSERT INTO recall_owners (owner, sessions, entries, words)
        VALUES (new.owner, old.findable = 0, new.findable - old.findable, new.words - old.words)
        ON CONFLICT (owner) DO UPDATE
            SET sessions = sessions + excluded.sessions, entries = entries + excluded.entries,
                words = words + excluded.words;
END;

CREATE TRIGGER recall_shrank AFTER UPDATE OF findable ON sessions
WHEN old.owner = new.owner AND new.findable < old.findable BEGIN
    UPDATE recall_owners
        SET sessions = sessions - (new.findable = 0), entries = entries + new.findable - old.findable,
            words = words + new.words - old.words
        WHERE owner = old.owner;
    DELETE FROM recall_owners WHERE owner = old.owner AND sessions = 0;
END;

-- A session is shown or hidden.
CREATE TRIGGER recall_changed_hands AFTER UPDATE OF owner ON sessions
WHEN old.owner <> new.owner BEGIN
    UPDATE recall_owners
        SET sessions = sessions - (0 < old.findable), entries = entries - old.findable,
            words = words - old.words
        WHERE owner = old.owner;
    DELETE FROM recall_owners WHERE owner = old.owner AND sessions = 0;
    INSERT INTO recall_owners (owner, sessions, entries, words)
        SELECT new.owner, 1, new.findable, new.words WHERE new.owner <> X'' AND 0 < new.findable
        ON CONFLICT (owner) DO UPDATE
            SET sessions = sessions + 1, entries = entries + excluded.entries,
                words = words + excluded.words;
END;

CREATE TRIGGER recall_dropped AFTER DELETE ON sessions WHEN 0 < old.findable BEGIN
    UPDATE recall_owners
        SET sessions = sessions - 1, entries = entries - old.findable, words = words - old.words
        WHERE owner = old.owner;
    DELETE FROM recall_owners WHERE owner = old.owner AND sessions = 0;
END;

-- However an entry goes, all of it goes. The index forgets it at once and loses its bytes later.
CREATE TRIGGER recall_removed AFTER DELETE ON messages WHEN old.words IS NOT NULL BEGIN
    DELETE FROM recall_words WHERE rowid = old.id;
    DELETE FROM recall_vectors WHERE session = old.session AND seq = old.seq;
    UPDATE sessions SET findable = findable - 1, words = words - old.words WHERE id = old.session;
    INSERT OR REPLACE INTO metadata (key, value) VALUES ('recall_erasure', 'due');
END;

CREATE TRIGGER recall_lost AFTER UPDATE OF words ON messages
WHEN old.words IS NOT NULL AND new.words IS NULL BEGIN
    DELETE FROM recall_words WHERE rowid = old.id;
    DELETE FROM recall_vectors WHERE session = old.session AND seq = old.seq;
    UPDATE sessions SET findable = findable - 1, words = words - old.words WHERE id = old.session;
    INSERT OR REPLACE INTO metadata (key, value) VALUES ('recall_erasure', 'due');
END;
