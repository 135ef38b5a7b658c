-- Count what log entries held, each position once, whoever reads it and however often.
-- KEYS: tally. ARGV: partition, number of entries, then for each: ms, sequence, number of pairs, (name, count)...
local mark = redis.call('HGET', KEYS[1], 'mark:' .. ARGV[1]) or '0-0'
local ms, seq = string.match(mark, '^(%d+)-(%d+)$')
ms, seq = tonumber(ms), tonumber(seq)
local at = 3
for _ = 1, tonumber(ARGV[2]) do
  local entry_ms, entry_seq = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local fresh = entry_ms > ms or (entry_ms == ms and entry_seq > seq)
  local pairs_end = at + 3 + 2 * tonumber(ARGV[at + 2])
  if fresh then
    for i = at + 3, pairs_end - 1, 2 do redis.call('HINCRBY', KEYS[1], 'n:' .. ARGV[i], ARGV[i + 1]) end
    ms, seq = entry_ms, entry_seq
    mark = ARGV[at] .. '-' .. ARGV[at + 1]
  end
  at = pairs_end
end
redis.call('HSET', KEYS[1], 'mark:' .. ARGV[1], mark)
return mark
