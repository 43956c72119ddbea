#!lua flags=allow-oom
-- Takes a schedule away; the jobs it submitted stay.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  name
-- ARGV[2]  body of the event
--
-- Replies  1 deleted · 0 there was none
--          LOGLOST …   the log is gone
-- Appends  schedule.deleted
--@include log
--@include planned
local fault = open_log()
if fault then return fault end

local name = ARGV[1]
local key = schedule_key(name)
local old = redis.call('HMGET', key, 'version', 'digest')
if not old[1] then
  return 0
end
append('schedule.deleted', '', 0, ARGV[2])
close_log()
redis.call('DEL', key)
redis.call('ZREM', SCHEDULE_DUE, name)
if old[2] ~= '' then
  -- So that the declaration it came from does not make it again at the next start of a worker.
  redis.call('HSET', key, 'digest', old[2])
end
return 1
