-- Notes that a session is about to be forgotten, in a Redis without room too: a script whose first
-- change is a removal may go on to add.
-- KEYS: the forgotten sessions. ARGV: when, the session.

redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
return 1
