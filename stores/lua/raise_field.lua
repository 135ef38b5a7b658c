-- Let a number in a hash only rise. KEYS: hash. ARGV: run id expected or '', field, value.
if ARGV[1] ~= '' then
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  if run ~= ARGV[1] then return {-1, run} end
end
local held = redis.call('HGET', KEYS[1], ARGV[2])
if held and tonumber(held) >= tonumber(ARGV[3]) then return {0, held} end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return {1, ARGV[3]}
