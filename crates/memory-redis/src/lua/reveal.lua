-- Makes the staged session the session, if what it was put together by is still so and all of it is
-- there. What it replaces is freed in the background.
-- KEYS: the session, the staged one. ARGV: ttl, who put it together, how many fields were put, how
-- many guards, field and value of each (nothing: it must be absent), how many fields to set, field
-- and value of each, then the fields to delete.
-- Answers 1, or 0 when something has changed, or -1 when somebody else puts it together, or nobody.

local key, staged, ttl = KEYS[1], KEYS[2], ARGV[1]
if redis.call('HGET', staged, 'r') ~= ARGV[2] then return -1 end
local at, guards = 5, tonumber(ARGV[4])
for _ = 1, guards do
  if (redis.call('HGET', key, ARGV[at]) or '') ~= ARGV[at + 1] then return 0 end
  at = at + 2
end
-- Beside the session's fields and those that were put there is the name of who did.
if redis.call('HLEN', staged) ~= redis.call('HLEN', key) + tonumber(ARGV[3]) + 1 then return 0 end

local count = tonumber(ARGV[at])
for first = at + 1, at + 2 * count, 7000 do
  redis.call('HSET', staged, unpack(ARGV, first, math.min(first + 6999, at + 2 * count)))
end
for first = at + 2 * count + 1, #ARGV, 7000 do
  redis.call('HDEL', staged, unpack(ARGV, first, math.min(first + 6999, #ARGV)))
end
redis.call('HDEL', staged, 'r')
redis.call('UNLINK', key)
redis.call('RENAME', staged, key)
keep_for(key, ttl)
return 1
