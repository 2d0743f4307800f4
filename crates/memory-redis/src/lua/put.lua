-- Sets fields of a staged session.
-- KEYS: the staged session. ARGV: who puts it together, how long it is kept, then fields and values.
-- Answers 1, or 0 when somebody else puts it together, or nobody.

local key = KEYS[1]
if redis.call('HGET', key, 'r') ~= ARGV[1] then return 0 end
set_given(key, 3, #ARGV)
redis.call('PEXPIRE', key, ARGV[2])
return 1
