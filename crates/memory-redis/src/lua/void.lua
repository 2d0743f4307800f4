-- Sees to it that a turn which has not opened never will.
-- KEYS: the session, the set of turns that may not open. ARGV: the turn, how long to keep that.
-- Answers 1, or 0 when the turn has opened.

if redis.call('HEXISTS', KEYS[1], 't:' .. ARGV[1]) == 1 then return 0 end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
