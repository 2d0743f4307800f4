-- What every script knows of a session's hash; the fields are listed in keys.rs.
-- Numbers are doubles here: positions stay text where they can, and never pass 2^53.

local function text_of(number)
  return string.format('%.0f', number)
end

local function millis(given)
  if given ~= '' then return given end
  local time = redis.call('TIME')
  return text_of(tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
end

local STATE = { 'born', 'rev', 'token', 'head', 'last', 'entries', 'created', 'turn', 'holder', 'mode' }

local function state_of(line)
  local state, index = {}, 0
  for word in line:gmatch('%S+') do
    index = index + 1
    state[STATE[index] or 'rest'] = word
  end
  return state
end

local function line_of(state)
  local words = {}
  for index, name in ipairs(STATE) do words[index] = state[name] end
  return table.concat(words, ' ')
end

local function has_entry(key, seq)
  return seq == '-' or redis.call('HEXISTS', key, 'e:' .. seq) == 1
end

-- Whether a branch that ends with what `round` says after `seq` ends inside a tool round;
-- brain_core::memory::inside_tool_round on the marks of entries. `round` is `clear`, `inside`, or
-- `after` and the calls that were answered already.
local function inside_round(key, round, seq)
  if round == 'clear' then return false end
  if round == 'inside' then return true end
  local answered = {}
  for call in round:gmatch('%S+') do answered[call] = true end
  while seq ~= '-' do
    local value = redis.call('HGET', key, 'e:' .. seq)
    if not value then return false end
    local parent, mark = value:match('^(%S+) (%S+) ')
    if not parent then return false end
    if mark:sub(1, 1) ~= 't' then
      for call in mark:sub(2):gmatch('[^,]+') do
        if not answered[call] then return true end
      end
      return false
    end
    answered[mark:sub(2)] = true
    seq = parent
  end
  return false
end

-- Sets fields in as few calls as `unpack` allows. Nothing was written before the first one, so that
-- a Redis without room refuses the whole script.
local function set_all(key, sets)
  for first = 1, #sets, 7000 do
    redis.call('HSET', key, unpack(sets, first, math.min(first + 6999, #sets)))
  end
end

-- Sets the fields that stand among the arguments with their values.
local function set_given(key, first, last)
  for at = first, last, 7000 do
    redis.call('HSET', key, unpack(ARGV, at, math.min(at + 6999, last)))
  end
end

-- A change stands among the arguments as how many guards there are, field and value of each
-- (nothing: it must be absent), how many fields are to be set, field and value of each, then the
-- fields to delete. Where the fields to be set begin, or nothing if a guard does not hold.
local function after_guards(key, at)
  local guards = tonumber(ARGV[at])
  for field = at + 1, at + 2 * guards, 2 do
    if (redis.call('HGET', key, ARGV[field]) or '') ~= ARGV[field + 1] then return nil end
  end
  return at + 2 * guards + 1
end

local function change(key, at)
  local last = at + 2 * tonumber(ARGV[at])
  set_given(key, at + 1, last)
  for first = last + 1, #ARGV, 7000 do
    redis.call('HDEL', key, unpack(ARGV, first, math.min(first + 6999, #ARGV)))
  end
end

-- Nothing leaves the time to live as it is, `0` is none.
local function keep_for(key, ttl)
  if ttl == '' then return end
  if ttl == '0' then
    redis.call('PERSIST', key)
  else
    redis.call('PEXPIRE', key, ttl)
  end
end

