-- What search needs. The index holds no word: a term of it is a hash of the owner and the word, so
-- that nobody's words are looked through for another, and nothing that was said can be read in it.

ALTER TABLE messages DROP COLUMN folded;

-- The entries that can be found.
CREATE TABLE recall_entries (
    message INTEGER PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
    session INTEGER NOT NULL,
    place   INTEGER NOT NULL, -- among the entries of the session that can be found
    words   INTEGER NOT NULL, -- how many
    asks    INTEGER NOT NULL, -- whether it ends with a question
    model   TEXT              -- who embedded it
) STRICT;

CREATE INDEX recall_by_place ON recall_entries (session, place);
CREATE INDEX recall_by_model ON recall_entries (model, message);

-- How much of each session can be found; and whose it is, or will be when it is shown.
CREATE TABLE recall_sessions (
    session INTEGER PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    owner   BLOB    NOT NULL,
    entries INTEGER NOT NULL DEFAULT 0,
    words   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX recall_by_owner ON recall_sessions (owner, entries, words);

-- Embeddings: a byte a number, and what each is to be multiplied by.
CREATE TABLE recall_vectors (
    session INTEGER NOT NULL,
    place   INTEGER NOT NULL,
    model   TEXT    NOT NULL,
    scale   REAL    NOT NULL,
    numbers BLOB    NOT NULL,
    PRIMARY KEY (session, place)
) STRICT, WITHOUT ROWID;

-- By message; which words an entry holds, not where or how often.
CREATE VIRTUAL TABLE recall_words USING fts5 (
    words, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);

CREATE TRIGGER recall_added AFTER INSERT ON recall_entries BEGIN
    INSERT INTO recall_sessions (session, owner, entries, words)
        SELECT id, owner, 1, new.words FROM sessions WHERE id = new.session
        ON CONFLICT (session) DO UPDATE
            SET entries = entries + 1, words = words + excluded.words;
END;

-- However an entry goes, all of it goes. The index forgets it at once and loses its bytes later.
CREATE TRIGGER recall_removed AFTER DELETE ON recall_entries BEGIN
    DELETE FROM recall_words WHERE rowid = old.message;
    DELETE FROM recall_vectors WHERE session = old.session AND place = old.place;
    UPDATE recall_sessions SET entries = entries - 1, words = words - old.words
        WHERE session = old.session;
    INSERT OR REPLACE INTO metadata (key, value) VALUES ('recall_erasure', 'due');
END;

-- Entries that were restored beside their session join it, after those that are there.
CREATE TRIGGER recall_moved AFTER UPDATE OF session ON messages BEGIN
    UPDATE recall_entries
        SET session = new.session,
            place = 1 + coalesce((SELECT max(place) FROM recall_entries
                                  WHERE session = new.session), 0)
        WHERE message = new.id;
END;

CREATE TRIGGER recall_followed AFTER UPDATE OF session ON recall_entries BEGIN
    DELETE FROM recall_vectors WHERE session = old.session AND place = old.place;
    UPDATE recall_sessions SET entries = entries - 1, words = words - old.words
        WHERE session = old.session;
    INSERT INTO recall_sessions (session, owner, entries, words)
        SELECT id, owner, 1, new.words FROM sessions WHERE id = new.session
        ON CONFLICT (session) DO UPDATE
            SET entries = entries + 1, words = words + excluded.words;
END;
