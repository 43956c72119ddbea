#!lua
-- Begins a new epoch of a partition that was halted (see condemn): its log is empty but for the event
-- that says so. What is left of the old log waits in `:lost` until `restore_end`. All else of the
-- partition must have been taken away.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  the new epoch
-- ARGV[2]  seq of the last archived event: the new epoch goes on after it
-- ARGV[3]  ms of its stream id: those of the new epoch are later
-- ARGV[4]  body of the event
--
-- Replies  ms since 1970
--          INVALID …   the partition is not halted, or holds a log: nothing was done
-- Appends  queue.restored
local P = KEYS[1]
local META, LOG = P .. ':meta', P .. ':log'
local meta = redis.call('HMGET', META, 'mode', 'lost')
if meta[1] ~= 'lost' then
  return redis.error_reply('INVALID ' .. META .. ' says that its log is fine')
end
if redis.call('EXISTS', LOG) == 1 then
  return redis.error_reply('INVALID ' .. LOG .. ' is still there')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local seq = tonumber(ARGV[2]) + 1
redis.call('DEL', META)
redis.call('HSET', META, 'mode', 'lost', 'lost', meta[2], 'restoring', ARGV[1], 'epoch', ARGV[1],
  'seq', seq, 'archived', ARGV[2])
redis.call('XADD', LOG, string.format('%.0f', math.max(now, tonumber(ARGV[3]) + 1)) .. '-0', 'seq',
  seq, 'epoch', ARGV[1], 'type', 'queue.restored', 'job', '', 'version', 0, 'body', ARGV[4])
return now
