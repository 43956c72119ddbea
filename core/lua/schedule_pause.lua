#!lua flags=allow-oom
-- Pauses a schedule, or lets it go on from an occurrence on.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  name
-- ARGV[2]  'pause' · 'resume'
-- ARGV[3]  the version it must have, for what follows was read from it; '': any
-- ARGV[4]  resume: its next occurrence (ms since 1970; '': there will be none), ARGV[5] when it is
--          due
-- ARGV[6]  body of the event
--
-- Replies  {outcome, version}, outcome being
--          'paused' · 'resumed' · 'same' (it was so already) · 'conflict' (another version) ·
--          'missing'
--          LOGLOST …   the log is gone
-- Appends  schedule.paused · schedule.resumed
--@include log
--@include planned
local fault = open_log()
if fault then return fault end

local name, pause = ARGV[1], ARGV[2] == 'pause'
local key = schedule_key(name)
local old = redis.call('HMGET', key, 'version', 'paused', 'next', 'due', 'buffered')
local version = tonumber(old[1] or '0')
if version == 0 then
  return {'missing', 0}
elseif (old[2] ~= '') == pause then
  return {'same', version}
elseif ARGV[3] ~= '' and tonumber(ARGV[3]) ~= version then
  return {'conflict', version}
end

local now = now_ms()
local next_at, due = old[3], old[4]
if not pause then
  next_at, due = ARGV[4], ARGV[5]
end
append(pause and 'schedule.paused' or 'schedule.resumed', '', 0, ARGV[6])
close_log()
redis.call('HSET', key, 'version', version + 1, 'next', next_at, 'due', due,
  'paused', pause and ARGV[6] or '', 'paused_at', now)
arrange(name, now, next_at, due, pause and ARGV[6] or '', old[5])
return {pause and 'paused' or 'resumed', version + 1}
