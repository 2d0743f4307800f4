-- Drops a copy, and leaves the time of it for a while.
-- KEYS: the copy, the burial. ARGV: now, how long the burial is kept.

redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[2], millis(ARGV[1]), 'PX', ARGV[2])
return 1
