-- Take deltas that are newer than those held and whose window is open; all of one category.
-- KEYS: versions, deltas, generation, base, pack.
-- ARGV: run id and epoch (see guard.lua), then field, window, version, blob, and so on.
local other = other_dataset(ARGV[1], ARGV[2], KEYS)
if other then return other end
local through = redis.call('HGET', KEYS[1], 'through') or '-1'
local taken = 0
for i = 3, #ARGV, 4 do
  local field, window, version = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local held = tonumber(redis.call('HGET', KEYS[1], field) or '0')
  if window > tonumber(through) and version > held then
    redis.call('HSET', KEYS[1], field, ARGV[i + 2])
    redis.call('HSET', KEYS[2], field, ARGV[i + 3])
    redis.call('INCR', KEYS[3])
    taken = taken + 1
  end
end
return {taken, through}
