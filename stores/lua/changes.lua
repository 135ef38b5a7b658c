-- What a category's statistics are now, with blobs only of what the caller does not hold yet.
-- KEYS: versions, deltas, generation, base. ARGV: through held, then field, version held, and so on.
local held = {}
for i = 2, #ARGV, 2 do held[ARGV[i]] = ARGV[i + 1] end
local through = redis.call('HGET', KEYS[1], 'through') or '-1'
local base = false
if through ~= ARGV[1] then base = redis.call('GET', KEYS[4]) end
local changed = {}
local kept = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local version = redis.call('HGET', KEYS[1], field)
  if held[field] == version then
    kept[#kept + 1] = field
  else
    changed[#changed + 1] = field
    changed[#changed + 1] = version
    changed[#changed + 1] = redis.call('HGET', KEYS[2], field)
  end
end
return {through, redis.call('GET', KEYS[3]) or '0', base, kept, changed}
