-- Change the states of lineages, all or none, iff each is in the state that the caller saw; note it in the history.
-- KEYS: lineages, active, history. ARGV: why, lineage to serve or '', then lineage, state seen, new state, and so on.
for i = 3, #ARGV, 3 do
  local found = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  if found ~= ARGV[i + 1] then return {0, ARGV[i], found} end
end
local time = redis.call('TIME')
local at_ms = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 3, #ARGV, 3 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
  local note = {at_ms = at_ms, lineage = ARGV[i], from = ARGV[i + 1], to = ARGV[i + 2], why = ARGV[1]}
  redis.call('RPUSH', KEYS[3], cjson.encode(note))
end
redis.call('LTRIM', KEYS[3], -1000, -1)
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2]) end
return {1, '', ''}
