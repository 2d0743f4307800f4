-- Erases a session, its copy and what is being restored of it, and leaves the time of it for a while.
-- KEYS: the session, its copy, the staged session, the burial. ARGV: now, how long the burial is kept,
-- since when the session must be without a change and an open turn (nothing: it need not).
-- Answers how many entries the session had (nothing: there is none; `used`: it is not as it must be),
-- when it was forgotten, and its open turn and the record of that (nothing: there is none).

local found = redis.call('HMGET', KEYS[1], 's', 'u')
local state = found[1] and state_of(found[1])
if state and ARGV[3] ~= '' then
  if state.turn ~= '-' or tonumber(found[2]) >= tonumber(ARGV[3]) then return { 'used', '', '', '' } end
end
local turn = state and state.turn or '-'
local record = turn ~= '-' and redis.call('HGET', KEYS[1], 't:' .. turn) or ''
local now = millis(ARGV[1])
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
redis.call('SET', KEYS[4], now, 'PX', ARGV[2])
return { state and state.entries or '', now, turn, record }
