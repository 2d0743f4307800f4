-- Puts a session into the index of all sessions, as changed now.
-- KEYS: the index. ARGV: now, the session.

redis.call('ZADD', KEYS[1], millis(ARGV[1]), ARGV[2])
return 1
