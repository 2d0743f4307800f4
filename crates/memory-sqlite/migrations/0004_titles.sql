-- Which titles nobody chose: they are made of what was said, and go with it.

ALTER TABLE sessions ADD COLUMN default_title INTEGER NOT NULL DEFAULT FALSE;
