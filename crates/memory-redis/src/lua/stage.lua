-- Begins to put a session together beside what is there.
-- KEYS: the staged session. ARGV: who puts it together, how long it is kept without a sign of life.

redis.call('UNLINK', KEYS[1])
redis.call('HSET', KEYS[1], 'r', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
