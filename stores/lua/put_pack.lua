-- Take a pack of a newer generation and tell whoever listens.
-- KEYS: pack. ARGV: generation, blob, channel, message.
if tonumber(ARGV[1]) <= tonumber(redis.call('HGET', KEYS[1], 'generation') or '-1') then return 0 end
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'blob', ARGV[2])
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'written_ms', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
