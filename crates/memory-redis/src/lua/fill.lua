-- Keeps a copy of a session, or makes one of the same state reach further back.
-- KEYS: the copy, the burial. ARGV: ttl, the session's token, when the session was made, how many
-- bytes the entries have, whether there is a summary (`1`), then fields and values.
-- Answers 1, or 0 when there is a copy of another state, or the session was buried since it was made.

local key, ttl, token, made, bytes = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local line = redis.call('HGET', key, 's')
if line and state_of(line).token ~= token then return 0 end
local buried = redis.call('GET', KEYS[2])
if buried and tonumber(made) <= tonumber(buried) then return 0 end

redis.call('HSET', key, 'z', bytes)
set_given(key, 6, #ARGV)
if ARGV[5] ~= '1' then redis.call('HDEL', key, 'm') end
keep_for(key, ttl)
return 1
