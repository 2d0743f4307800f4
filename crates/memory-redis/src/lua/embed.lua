-- Keeps embeddings of entries that are there and were not forgotten.
-- KEYS: the session. ARGV: positions and embeddings.
-- Answers how many were kept.

local key, kept = KEYS[1], 0
for index = 1, #ARGV, 2 do
  local seq = ARGV[index]
  if redis.call('HEXISTS', key, 'e:' .. seq) == 1 and redis.call('HEXISTS', key, 'f:' .. seq) == 0 then
    redis.call('HSET', key, 'w:' .. seq, ARGV[index + 1])
    kept = kept + 1
  end
end
return kept
