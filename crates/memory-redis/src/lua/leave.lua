-- Takes a session that was forgotten out of the index of all, unless a later one of its name is there.
-- KEYS: the index. ARGV: the session, when it was forgotten.

local noted = redis.call('ZSCORE', KEYS[1], ARGV[1])
if noted and tonumber(noted) <= tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 1
