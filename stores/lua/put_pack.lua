-- Take a pack of a newer generation and tell whoever listens.
-- KEYS: versions, deltas, generation, base, pack.
-- ARGV: run id and epoch (see guard.lua), generation, blob, channel, message.
local other = other_dataset(ARGV[1], ARGV[2], KEYS)
if other then return other end
if tonumber(ARGV[3]) <= tonumber(redis.call('HGET', KEYS[5], 'generation') or '-1') then return {0, ARGV[3]} end
local now = redis.call('TIME')
local written_ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('HSET', KEYS[5], 'generation', ARGV[3], 'blob', ARGV[4], 'written_ms', written_ms)
redis.call('PUBLISH', ARGV[5], ARGV[6])
return {1, ARGV[3]}
