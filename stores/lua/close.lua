-- Replace the base by one that holds all windows up to a new `through`, iff `through` is what the caller saw.
-- KEYS: versions, deltas, generation, base. ARGV: run id expected or '', through seen, new through, facts in the new base, blob.
if ARGV[1] ~= '' then
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  if run ~= ARGV[1] then return {-1, run} end
end
local through = redis.call('HGET', KEYS[1], 'through') or '-1'
if through ~= ARGV[2] then return {0, through} end
redis.call('SET', KEYS[4], ARGV[5])
redis.call('HSET', KEYS[1], 'through', ARGV[3], 'closed_facts', ARGV[4])
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local window = tonumber(string.match(field, '^(%d+):'))
  if window <= tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], field)
    redis.call('HDEL', KEYS[2], field)
  end
end
redis.call('INCR', KEYS[3])
return {1, ARGV[3]}
