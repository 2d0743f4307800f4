-- Brings a copy from one state to the next, or drops it.
-- KEYS: the copy. ARGV: ttl, the token of the state it must have, how many bytes the new entries
-- have, how many a copy may have, then fields and values.
-- Answers 1, or 0 when there is no copy in the end.

local key, ttl, previous = KEYS[1], ARGV[1], ARGV[2]
local found = redis.call('HMGET', key, 's', 'z')
if not found[1] then return 0 end
local bytes = tonumber(found[2] or '0') + tonumber(ARGV[3])
if state_of(found[1]).token ~= previous or bytes > tonumber(ARGV[4]) then
  redis.call('UNLINK', key)
  return 0
end

redis.call('HSET', key, 'z', text_of(bytes))
set_given(key, 5, #ARGV)
keep_for(key, ttl)
return 1
