#!lua flags=allow-oom
-- A worker says that it begins or ends to serve this partition, and which job types it knows.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  worker.started or worker.stopped
-- ARGV[2]  body of the event
-- ARGV[3]  the worker: when it stops, the groups forget it
-- ARGV[4…] per type: name, defaults (JSON)
--
-- Replies  1
--          LOGLOST …   the log is gone
-- Appends  worker.started · worker.stopped
--@include header
--@include log
--@include ending
--@include waiting
local fault = open_log()
if fault then return fault end

append(ARGV[1], '', 0, ARGV[2])
close_log()
if #ARGV > 3 then
  redis.call('HSET', P .. ':types', unpack(ARGV, 4))
end
if ARGV[1] == 'worker.started' then
  redis.call('SADD', SERVING, ARGV[3])
else
  redis.call('SREM', SERVING, ARGV[3])
  for priority in string.gmatch(lanes, '.') do
    dismiss(priority, ARGV[3])
  end
end
return 1
