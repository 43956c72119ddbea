#!lua flags=allow-oom
-- Gives waiting jobs another time to run: later, earlier, or now.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  body {actor, reason} of the event; the time is written into it here
-- ARGV[2]  '+N' in N ms · 'N' at N ms since 1970; a time that is past means now
-- ARGV[3…] ids
--
-- Replies  one per job: 'rescheduled' · 'queued' (it may run now) · 'ready' (it could run now
--          already, or waits for a limit or for other jobs alone,
--          so it keeps its place) · 'running' · 'too_late' (it expires before that time) ·
--          'missing' (no live job of that id); nothing was done in the last four
--          LOGLOST …   the log is gone
--          INVALID …   that is no time: nothing was done
-- Appends  job.rescheduled{run_at}; then job.queued{due} if that is now, or job.blocked{jobs} if it
--          waits for other jobs even so
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
local fault = open_log()
if fault then return fault end

local now = now_ms()
local at = tonumber(ARGV[2])
if not at or at ~= math.floor(at) or math.abs(at) > 2^53 then
  return redis.error_reply('INVALID time to run: ' .. ARGV[2])
end
if string.byte(ARGV[2]) == 43 then
  at = now + at
end
at = math.max(at, now)
local body = string.sub(ARGV[1], 1, -2) .. (ARGV[1] == '{}' and '' or ',')
  .. string.format('"run_at":%.0f}', at)
local before = seq
local gone, replies = {}, {}
local any_ready = false

local function reschedule(id)
  local key = job_key(id)
  local raw = redis.call('GETRANGE', key, 0, HEAD)
  if raw == '' then
    return 'missing'
  end
  local state, priority, flags, crashes, attempt, version, fence, expires, entry =
    struct.unpack(FORMAT, raw)
  if fence > 0 and started(priority, entry) then
    return 'running'
  end
  if expires > 0 and expires <= at then
    return 'too_late'
  end
  if (state == QUEUED or state == BLOCKED) and at == now then
    return 'ready'
  end
  if state == DEPENDENT then
    if at == now and entry == '' then
      return 'ready'
    end
    append('job.rescheduled', id, version + 1, body)
    append('job.blocked', id, version + 2, '{"on":"jobs"}')
    redis.call('SETRANGE', key, 0, pack(DEPENDENT, priority, flags, crashes, attempt, version + 2, 0,
      expires, at > now and string.format('%.0f', at) or ''))
    return 'rescheduled'
  end
  withdraw(id, state, priority, fence, entry, gone)
  if limited then
    leave_gates(id, raw)
  end
  version = version + 1
  append('job.rescheduled', id, version, body)
  if at > now then
    redis.call('SETRANGE', key, 0, pack(SCHEDULED, priority, flags, crashes, attempt, version, 0,
      expires, ''))
    wait_until(id, at)
    return 'rescheduled'
  end
  version = version + 1
  append('job.queued', id, version, '{"cause":"due"}')
  redis.call('SETRANGE', key, 0, pack(QUEUED, priority, flags, crashes, attempt, version,
    version + 1, expires, enter(priority, id)))
  any_ready = true
  return 'queued'
end

for i = 3, #ARGV do
  replies[i - 2] = reschedule(ARGV[i])
end
leave(gone)
if seq > before then
  close_log()
end
if any_ready then
  ring()
end
return replies
