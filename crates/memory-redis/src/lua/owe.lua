-- Notes that a session is about to be forgotten, in a Redis without room too: a script whose first
-- change is a removal may go on to add.
-- KEYS: the forgotten sessions. ARGV: when, the session, how long that is kept.

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. text_of(tonumber(ARGV[1]) - tonumber(ARGV[3])))
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
