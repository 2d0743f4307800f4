-- Moves a session, with its time to live, if it is as it was seen.
-- KEYS: where it is, where it is to be. ARGV: its state.
-- Answers 1, or 0 when it is not there any more, or there is another one where it is to be, or -1 when
-- it has changed.

local line = redis.call('HGET', KEYS[1], 's')
if not line then return 0 end
if line ~= ARGV[1] then return -1 end
return redis.call('RENAMENX', KEYS[1], KEYS[2])
