-- Moves a turn from the open ones to those that are over.
-- KEYS: the open turns, the turns that are over. ARGV: when it ended, the turn.

redis.call('ZADD', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZREM', KEYS[1], ARGV[2])
return 1
