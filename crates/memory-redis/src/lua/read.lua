-- The newest entries of one branch, with the session, as they are at one moment.
-- KEYS: the session or a copy. ARGV: the branch's last entry (or `head`), how many entries, how many
-- bytes of them are enough.
-- Answers nothing without a session; else its state, description and time of change, the entries
-- newest first as position and value, where the branch goes on, whether that entry is missing, the
-- newest summary made at one of the entries or where the branch goes on, and whether a summary was
-- passed by: a copy knows the newest one only, and cannot tell what is older.

local key, limit, enough = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local found = redis.call('HMGET', key, 's', 'h', 'u', 'm')
if not found[1] then return false end
local seq = ARGV[1]
if seq == 'head' then seq = state_of(found[1]).head end

local summaries, summary = {}, ''
for at in (found[4] or ''):gmatch('%S+') do summaries[at] = true end
local function look_for_summary()
  if summary == '' and summaries[seq] then
    summary = redis.call('HGET', key, 'm:' .. seq) or ''
  end
end

local entries, count, bytes, missing = {}, 0, 0, 0
if not has_entry(key, seq) then missing, limit = 1, 0 end
while seq ~= '-' and count < limit and bytes < enough do
  local value = redis.call('HGET', key, 'e:' .. seq)
  if not value then
    missing = 1
    break
  end
  look_for_summary()
  count, bytes = count + 1, bytes + #value
  entries[2 * count - 1], entries[2 * count] = seq, value
  seq = value:match('^%S+')
end
local passed = 0
if count > 0 then
  look_for_summary()
  local reached = tonumber(seq) or tonumber(entries[2 * count - 1])
  for at in pairs(summaries) do
    if reached < tonumber(at) then passed = 1 end
  end
end
return { found[1], found[2] or '', found[3] or '', entries, seq, missing, summary, passed }
