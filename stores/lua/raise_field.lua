-- Let a number in a lineage's hash only rise. KEYS: lineage. ARGV: run id and epoch (see guard.lua), field, value.
local other = other_process(ARGV[1])
if other then return other end
local epoch = redis.call('HGET', KEYS[1], 'epoch') or ''
if ARGV[2] ~= '' and epoch ~= ARGV[2] then return {-2, epoch} end
local held = redis.call('HGET', KEYS[1], ARGV[3])
if held and tonumber(held) >= tonumber(ARGV[4]) then return {0, held} end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
return {1, ARGV[4]}
