#!lua flags=allow-oom
-- Cuts off the old end of the log, but nothing that is not archived.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  seq up to which events are archived
-- ARGV[2]  epoch of those
-- ARGV[3]  stream id: older entries may go; '' to cut nothing
--
-- Replies  how many entries were cut off; -1 if the log is at another epoch
--          LOGLOST …   the log is gone
--@include log
local fault = open_log()
if fault then return fault end

if epoch ~= ARGV[2] then
  return -1
end
redis.call('HSET', META, 'archived', ARGV[1])
if ARGV[3] == '' then
  return 0
end
return redis.call('XTRIM', LOG, 'MINID', '~', ARGV[3])
