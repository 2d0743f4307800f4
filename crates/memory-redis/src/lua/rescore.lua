-- Changes or drops a member of an index, unless somebody has changed it meanwhile.
-- KEYS: the index. ARGV: the member, its number as it was seen, its new number (nothing: drop it).
-- Answers 1, or 0 when it is another one now.

if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
end
return 1
