-- Writes what was decided, if what it was decided by is still so.
-- KEYS: the session; where a turn opens for a client's key, the set of turns that may not open any more. ARGV: ttl,
-- that turn (or nothing), then the change.
-- Answers 1, or 0 when something has changed, or -1 when the turn may not open.

local key, ttl, turn = KEYS[1], ARGV[1], ARGV[2]
local sets = after_guards(key, 3)
if not sets then return 0 end
if turn ~= '' and redis.call('SISMEMBER', KEYS[2], turn) == 1 then return -1 end

change(key, sets)
keep_for(key, ttl)
return 1
