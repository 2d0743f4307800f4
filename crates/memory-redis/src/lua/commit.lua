-- Writes what was decided, if what it was decided by is still so.
-- KEYS: the session; where a turn opens, the set of turns that may not open any more. ARGV: ttl,
-- that turn (or nothing), how many guards, field and value of each (nothing: it must be absent), how
-- many fields to set, field and value of each, then the fields to delete.
-- Answers 1, or 0 when something has changed, or -1 when the turn may not open.

local key, ttl, turn = KEYS[1], ARGV[1], ARGV[2]
local at, guards = 4, tonumber(ARGV[3])
for _ = 1, guards do
  if (redis.call('HGET', key, ARGV[at]) or '') ~= ARGV[at + 1] then return 0 end
  at = at + 2
end
if turn ~= '' and redis.call('SISMEMBER', KEYS[2], turn) == 1 then return -1 end

local count = tonumber(ARGV[at])
for first = at + 1, at + 2 * count, 7000 do
  redis.call('HSET', key, unpack(ARGV, first, math.min(first + 6999, at + 2 * count)))
end
for first = at + 2 * count + 1, #ARGV, 7000 do
  redis.call('HDEL', key, unpack(ARGV, first, math.min(first + 6999, #ARGV)))
end
keep_for(key, ttl)
return 1
