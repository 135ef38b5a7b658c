-- Replace the base by one that holds all windows up to a new `through`, iff `through` is what the caller saw.
-- KEYS: versions, deltas, generation, base, pack.
-- ARGV: run id and epoch (see guard.lua), through seen, new through, facts in the new base, blob.
local other = other_dataset(ARGV[1], ARGV[2], KEYS)
if other then return other end
local through = redis.call('HGET', KEYS[1], 'through') or '-1'
if through ~= ARGV[3] then return {0, through} end
redis.call('SET', KEYS[4], ARGV[6])
redis.call('HSET', KEYS[1], 'through', ARGV[4], 'closed_facts', ARGV[5])
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local window = tonumber(string.match(field, '^(%d+):'))
  if window <= tonumber(ARGV[4]) then
    redis.call('HDEL', KEYS[1], field)
    redis.call('HDEL', KEYS[2], field)
  end
end
redis.call('INCR', KEYS[3])
return {1, ARGV[4]}
