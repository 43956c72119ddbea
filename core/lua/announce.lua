#!lua flags=allow-oom
-- A worker says that it begins or ends to serve this partition, and which job types it knows.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  worker.started or worker.stopped
-- ARGV[2]  body of the event
-- ARGV[3…] per type: name, defaults (JSON)
--
-- Replies  1
--          LOGLOST …   the log is gone
-- Appends  worker.started · worker.stopped
--@include log
local fault = open_log()
if fault then return fault end

append(ARGV[1], '', 0, ARGV[2])
close_log()
if #ARGV > 2 then
  redis.call('HSET', P .. ':types', unpack(ARGV, 3))
end
return 1
