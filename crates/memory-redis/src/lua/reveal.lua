-- Makes the staged session the session, if what it was put together by is still so and all of it is
-- there. What it replaces is freed in the background.
-- KEYS: the session, the staged one. ARGV: ttl, who put it together, how many fields were put, then
-- the change.
-- Answers 1, or 0 when something has changed, or -1 when somebody else puts it together, or nobody.

local key, staged, ttl = KEYS[1], KEYS[2], ARGV[1]
if redis.call('HGET', staged, 'r') ~= ARGV[2] then return -1 end
local sets = after_guards(key, 4)
if not sets then return 0 end
-- Beside the session's fields and those that were put there is the name of who did.
if redis.call('HLEN', staged) ~= redis.call('HLEN', key) + tonumber(ARGV[3]) + 1 then return 0 end

change(staged, sets)
redis.call('HDEL', staged, 'r')
redis.call('UNLINK', key)
redis.call('RENAME', staged, key)
keep_for(key, ttl)
return 1
