-- What a session is now, for a decision that `commit` makes true only if it still is.
-- KEYS: the session. ARGV: parent, round, then names of fields.
-- Answers the time, whether the parent exists, whether the branch would end inside a tool round,
-- and the fields.

local key, parent = KEYS[1], ARGV[1]
local fields = redis.call('HMGET', key, unpack(ARGV, 3))
local exists = has_entry(key, parent)
local inside = exists and inside_round(key, ARGV[2], parent)
return { millis(''), exists and 1 or 0, inside and 1 or 0, fields }
