-- Register a lineage unless it is known; one that is to be followed is served where none is.
-- KEYS: lineage, lineages, active. ARGV: id, fingerprint, state, time up to which it is replayed or ''.
local state = 'following'
if redis.call('HSETNX', KEYS[1], 'fingerprint', ARGV[2]) == 1 then
  state = ARGV[3]
  if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'replay_to_ms', ARGV[4]) end
end
local time = redis.call('TIME')
redis.call('HSETNX', KEYS[1], 'epoch', string.format('%.0f', time[1] * 1000000 + time[2]))
redis.call('HSETNX', KEYS[2], ARGV[1], state)
local fingerprint = redis.call('HGET', KEYS[1], 'fingerprint')
if redis.call('HGET', KEYS[2], ARGV[1]) == 'following' then
  if ARGV[3] == 'following' and fingerprint == ARGV[2] then redis.call('SETNX', KEYS[3], ARGV[1]) end
  if redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('HSET', KEYS[2], ARGV[1], 'active') end
end
return {fingerprint, redis.call('HGET', KEYS[2], ARGV[1]), redis.call('HGET', KEYS[1], 'replay_to_ms') or ''}
