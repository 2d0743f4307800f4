-- What people choose while the daemon runs: a model for a session, and settings for all. A token
-- tells one value of a setting from the next.

ALTER TABLE sessions ADD COLUMN model TEXT;

ALTER TABLE configuration ADD COLUMN token TEXT NOT NULL DEFAULT '';
