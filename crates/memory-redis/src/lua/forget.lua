-- Erases a session, its copy and what is being restored of it, and leaves the time of it for a while.
-- KEYS: the session, its copy, the staged session, the burial. ARGV: now, how long the burial is kept.
-- Answers how many entries the session had, nothing without one.

local line = redis.call('HGET', KEYS[1], 's')
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
redis.call('SET', KEYS[4], millis(ARGV[1]), 'PX', ARGV[2])
return line and state_of(line).entries
