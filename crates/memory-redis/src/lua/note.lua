-- Puts a session into its owner's index, and clears it of suspicion.
-- KEYS: the index, the suspects. ARGV: when the session was made, its id.

redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
