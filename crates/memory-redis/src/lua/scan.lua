-- Entries of all branches by position.
-- KEYS: the session. ARGV: the position after which to begin, how many entries, how many bytes of
-- them are enough, whether embeddings are asked for (`1`).
-- Answers nothing without a session; else its state, the entries as position and value, the position
-- that was reached, and an embedding or nothing for each entry.

local key, seq, limit, enough = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local line = redis.call('HGET', key, 's')
if not line then return false end
local last = tonumber(state_of(line).last)

-- Positions that an import left out, as `first-next` pairs that rise.
local gaps, gap
local function after_gap(position)
  if not gaps then
    gaps, gap = {}, 1
    for first, next in (redis.call('HGET', key, 'g') or ''):gmatch('(%d+)-(%d+)') do
      gaps[#gaps + 1] = { tonumber(first), tonumber(next) }
    end
  end
  while gaps[gap] and gaps[gap][2] <= position do gap = gap + 1 end
  if gaps[gap] and gaps[gap][1] <= position then return gaps[gap][2] end
  return position + 1
end

local entries, embeddings, count, bytes = {}, {}, 0, 0
while seq < last and count < limit and bytes < enough do
  local value = redis.call('HGET', key, 'e:' .. text_of(seq + 1))
  if value then
    seq = seq + 1
    count, bytes = count + 1, bytes + #value
    entries[2 * count - 1], entries[2 * count] = text_of(seq), value
    if ARGV[4] == '1' then
      embeddings[count] = redis.call('HGET', key, 'w:' .. text_of(seq)) or ''
      bytes = bytes + #embeddings[count]
    end
  else
    seq = after_gap(seq + 1) - 1
  end
end
return { line, entries, text_of(math.min(seq, last)), embeddings }
