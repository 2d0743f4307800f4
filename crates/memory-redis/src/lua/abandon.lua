-- Drops a staged session.
-- KEYS: the staged session. ARGV: who puts it together.
-- Answers 1, or 0 when somebody else puts it together, or nobody.

if redis.call('HGET', KEYS[1], 'r') ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
