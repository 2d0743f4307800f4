-- Appends entries to a session, all or none: SessionLog::append in one call on one key.
-- KEYS: the session. ARGV: ttl, now, append id, the fence's turn and holder, what is expected
-- (`absent`, `attach` or a token), parent, round, new token, description of a session to make (or
-- nothing), then the entries, each with its mark.
-- Answers `done` and what the append did, or `refused` and why. Everything is checked before the
-- first write.

local key = KEYS[1]
local ttl, now, append_id, turn, holder = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local expect, parent, round, token, described = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local FIRST = 11

local found = redis.call('HMGET', key, 's', 'a:' .. append_id)
local state = found[1] and state_of(found[1])
if found[2] then return { 'done', found[2] } end

if turn ~= '-' then
  if not state then return { 'refused', 'absent' } end
  if state.turn ~= turn or state.holder ~= holder or state.mode ~= 'running' then
    return { 'refused', 'superseded' }
  end
elseif state and state.turn ~= '-' then
  return { 'refused', 'conflict' }
end

local sets = {}
if not state then
  if described == '' or expect ~= 'absent' then return { 'refused', 'absent' } end
  state = { born = token, rev = '0', token = token, head = '-', last = '0', entries = '0' }
  state.created, state.turn, state.holder, state.mode = now, '-', '-', '-'
  sets = { 'h', described }
elseif expect == 'absent' then
  if state.entries ~= '0' then return { 'refused', 'conflict' } end
elseif expect ~= 'attach' and expect ~= state.token then
  return { 'refused', 'conflict' }
end

if not has_entry(key, parent) then return { 'refused', 'parent' } end
local moves = expect ~= 'attach' or state.head == parent
if moves and inside_round(key, round, parent) then return { 'refused', 'round' } end

local last, count = tonumber(state.last), #ARGV - FIRST + 1
if last + count > 9007199254740991 then return { 'refused', 'full' } end
for index = FIRST, #ARGV do
  last = last + 1
  sets[#sets + 1] = 'e:' .. text_of(last)
  sets[#sets + 1] = parent .. ' ' .. ARGV[index]
  parent = text_of(last)
end
if moves then state.head = parent end
state.token, state.last = token, text_of(last)
state.entries = text_of(tonumber(state.entries) + count)
state.rev = text_of(tonumber(state.rev) + 1)

local did = parent .. ' ' .. state.head .. ' ' .. token
local passed = turn ~= '-' and count > 0
if passed then
  local note = redis.call('HGET', key, 'n:' .. turn) or '0'
  sets[#sets + 1] = 'n:' .. turn
  sets[#sets + 1] = note:match('^%d+') .. ' ' .. parent
end
for _, it in ipairs({ 's', line_of(state), 'u', millis(now), 'a:' .. append_id, did }) do
  sets[#sets + 1] = it
end
set_all(key, sets)
if passed then redis.call('HDEL', key, 'k:' .. turn) end
keep_for(key, ttl)
return { 'done', did }
