-- Does what turns do, on keys that nobody reads, so that what is refused to them is refused here.
-- KEYS: a text, a hash, a sorted set. ARGV: how long they are kept.

redis.call('SET', KEYS[1], millis(''), 'PX', ARGV[1])
redis.call('HSET', KEYS[2], 's', '')
redis.call('HMGET', KEYS[2], 's')
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], 0, 's')
redis.call('PEXPIRE', KEYS[3], ARGV[1])
return 1
