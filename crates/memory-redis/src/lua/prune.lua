-- Takes sessions that were missed twice, with time between, out of their owner's index. A session is
-- indexed before it is made: missed once, it may still come.
-- KEYS: the index, the suspects. ARGV: milliseconds of grace, then ids.
-- Answers how many are out.

local now, out = tonumber(millis('')), 0
for index = 2, #ARGV do
  local id = ARGV[index]
  local since = redis.call('ZSCORE', KEYS[2], id)
  if not since then
    redis.call('ZADD', KEYS[2], text_of(now), id)
  elseif now - tonumber(since) > tonumber(ARGV[1]) then
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZREM', KEYS[2], id)
    out = out + 1
  end
end
redis.call('PEXPIRE', KEYS[2], 10 * ARGV[1])
return out
