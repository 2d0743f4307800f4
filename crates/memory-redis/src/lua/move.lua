-- Moves a session, with its time to live.
-- KEYS: where it is, where it is to be.
-- Answers 1, or 0 when it is not there any more, or there is another one where it is to be.

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('RENAMENX', KEYS[1], KEYS[2])
