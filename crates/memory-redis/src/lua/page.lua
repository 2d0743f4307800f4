-- A page of an owner's index, by (made, id).
-- KEYS: the index. ARGV: `before` or `all`, when and id of a session that need not be there
-- any more, how many.
-- Answers ids and times, those next to that session first.

local key, side, made, id, limit = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

-- Bytes decide, as they do in the index; Lua compares text by the server's locale.
local function is_less(a, b)
  for index = 1, math.min(#a, #b) do
    local left, right = a:byte(index), b:byte(index)
    if left ~= right then return left < right end
  end
  return #a < #b
end

-- How many stand before (made, id).
local function rank()
  local low, high = 0, redis.call('ZCARD', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local it = redis.call('ZRANGE', key, middle, middle, 'WITHSCORES')
    local score = tonumber(it[2])
    if score < made or (score == made and is_less(it[1], id)) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

if limit < 1 then return {} end
if side == 'all' then return redis.call('ZREVRANGE', key, 0, limit - 1, 'WITHSCORES') end
local first = redis.call('ZCARD', key) - rank()
return redis.call('ZREVRANGE', key, first, first + limit - 1, 'WITHSCORES')
