-- Drops a copy, and leaves the time of it for a while.
-- KEYS: the copy, the burial. ARGV: now, how long the burial is kept.
-- Answers how many entries the copy had: what is left of its fields without state, description, time
-- and size, and a summary with its place.

local fields = redis.call('HLEN', KEYS[1])
if fields > 0 then
  fields = fields - 4 - 2 * redis.call('HEXISTS', KEYS[1], 'm')
  redis.call('UNLINK', KEYS[1])
end
redis.call('SET', KEYS[2], millis(ARGV[1]), 'PX', ARGV[2])
return fields
