-- Put before each script that writes. A writer names the dataset that it knows: Redis' run id, and the epoch (log time, µs)
-- at which its lineage was begun there; both '' for a writer that need not care. Answers false, or what the script
-- must return: {-1, run id} from another process, {-2, epoch} where the lineage was begun anew since.
local function other_process(run_id)
  if run_id == '' then return false end
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  return run ~= run_id and {-1, run}
end
-- For a category, `names` are its keys, versions first. What a writer of an earlier epoch left there goes.
local function other_dataset(run_id, epoch, names)
  local other = other_process(run_id)
  if other or epoch == '' then return other end
  local held = redis.call('HGET', names[1], 'epoch')
  if held == epoch then return false end
  if held and tonumber(held) > tonumber(epoch) then return {-2, held} end
  if held then redis.call('DEL', unpack(names)) end
  redis.call('HSET', names[1], 'epoch', epoch)
  return false
end
