-- Put rows of one Feast view whose event time is later than that of the row held; equal or earlier ones stay out.
-- KEYS: the rows' keys. ARGV: seconds that a key is kept (0: for ever), number of features, the event time's field,
-- the features' fields; then for each row its event time (protobuf Timestamp) and its values. Answers how many were put.
local known = {}
-- Seconds and nanoseconds; bytes that are none of it count as older than anything.
local function time_of(data)
  local found = known[data]
  if found then return found end
  local at, size, parts = 1, #data, {[8] = 0, [16] = 0}
  while at <= size do
    local tag, value, place, byte = data:byte(at), 0, 1, 128
    at = at + 1
    while byte and byte >= 128 do
      byte = data:byte(at)
      if byte then value, place, at = value + byte % 128 * place, place * 128, at + 1 end
    end
    if not byte or not parts[tag] then return {-1, 0} end
    -- Ten bytes: a negative number.
    parts[tag] = place > 2 ^ 63 and -1 or value
  end
  found = {parts[8], parts[16]}
  known[data] = found
  return found
end
local ttl, count, stamp = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local row = {'HSET', false, stamp, false}
for i = 1, count do row[3 + 2 * i] = ARGV[3 + i] end
local put, at = 0, 3 + count
for _, key in ipairs(KEYS) do
  local data = ARGV[at + 1]
  local held = redis.call('HGET', key, stamp)
  local newer = not held
  if held and held ~= data then
    local before, now = time_of(held), time_of(data)
    newer = now[1] > before[1] or (now[1] == before[1] and now[2] > before[2])
  end
  if newer then
    row[2], row[4] = key, data
    for i = 1, count do row[4 + 2 * i] = ARGV[at + 1 + i] end
    redis.call(unpack(row))
    if ttl > 0 then redis.call('EXPIRE', key, ttl) end
    put = put + 1
  end
  at = at + 1 + count
end
return put
