-- Puts a session into the index of all sessions, as changed now.
-- KEYS: the index. ARGV: now, the session.
-- Answers when.

local now = millis(ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[2])
return now
