-- What a turn was answered from, and whether something was forgotten meanwhile.

-- The report on the context window of the answer, with its citations, as JSON.
ALTER TABLE turns ADD COLUMN context TEXT;

-- Random; another one whenever an entry of the session is forgotten. What was made of the text under
-- an earlier one is not kept.
ALTER TABLE sessions ADD COLUMN edition INTEGER NOT NULL DEFAULT 0;
