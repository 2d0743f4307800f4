-- Sends every command that the store sends, on keys that nobody reads, so that what is refused to the
-- user of REDIS_URL is refused here and named. Beginning with the key that ends by itself: whatever is
-- refused later, nothing stays.
-- KEYS: a text, a hash, its other name, a sorted set, a set. ARGV: how long they are kept.

local text, hash, other, sorted, set = unpack(KEYS)
local ttl = ARGV[1]

local function is_refused(error)
  return error:find('NOPERM', 1, true) or error:find('ACL failure in script', 1, true)
    or error:find('The user executing the script', 1, true)
end

-- Redis 6.2 does not say which command it refused.
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return end
  if is_refused(reply.err) then
    local name = select(1, ...):lower()
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. name .. "' command")
  end
  return reply
end

for _, words in ipairs({
  { 'TIME' },
  { 'SET', text, '', 'PX', ttl },
  { 'PERSIST', text },
  { 'PEXPIRE', text, ttl },
  { 'GET', text },
  { 'EXISTS', text },
  { 'HSET', hash, 's', '' },
  { 'PEXPIRE', hash, ttl },
  { 'HGET', hash, 's' },
  { 'HMGET', hash, 's' },
  { 'HEXISTS', hash, 's' },
  { 'HLEN', hash },
  { 'HSCAN', hash, '0' },
  { 'HDEL', hash, '-' },
  { 'RENAME', hash, other },
  { 'RENAMENX', other, hash },
  { 'ZADD', sorted, '0', 's' },
  { 'PEXPIRE', sorted, ttl },
  { 'ZSCORE', sorted, 's' },
  { 'ZCARD', sorted },
  { 'ZRANGE', sorted, '0', '0' },
  { 'ZREVRANGE', sorted, '0', '0' },
  { 'ZRANGEBYSCORE', sorted, '0', '0' },
  { 'ZREMRANGEBYSCORE', sorted, '1', '1' },
  { 'ZREM', sorted, 's' },
  { 'SADD', set, 's' },
  { 'PEXPIRE', set, ttl },
  { 'SISMEMBER', set, 's' },
  { 'DEL', text },
  { 'UNLINK', hash, other, sorted, set },
}) do
  local error = try(unpack(words))
  if error then return error end
end
return 1
