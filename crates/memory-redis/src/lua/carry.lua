-- Copies some fields of a session to the staged one.
-- KEYS: the session, the staged one. ARGV: who puts it together, how long it is kept, where to go
-- on, how many fields and how many bytes are enough.
-- Answers where to go on, `0` at the end, or nothing when somebody else puts it together or nobody.

if redis.call('HGET', KEYS[2], 'r') ~= ARGV[1] then return false end
local cursor, count, bytes = ARGV[3], 0, 0
repeat
  local found = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', 100)
  local fields = found[2]
  cursor = found[1]
  set_all(KEYS[2], fields)
  count = count + #fields / 2
  for index = 2, #fields, 2 do bytes = bytes + #fields[index] end
until cursor == '0' or count >= tonumber(ARGV[4]) or bytes >= tonumber(ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return cursor
