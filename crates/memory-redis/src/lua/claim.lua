-- Gives a key of a request to a turn, if it still belongs to whom it did.
-- KEYS: the claim. ARGV: what it says now (nothing: it is free), what it shall say (nothing: it shall
-- be free), for how long.
-- Answers what it says in the end.

local now = redis.call('GET', KEYS[1]) or ''
if now ~= ARGV[1] then return now end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return ARGV[2]
