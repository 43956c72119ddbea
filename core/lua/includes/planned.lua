-- Schedules of the partition. Needs log.
--
-- `:schedule:<name>` is a hash:
--   spec      JSON, as the API takes it; not looked into here
--   version   of the schedule: rises with each command, not with firings
--   next      its next occurrence, ms since 1970; '' when there will be none
--   due       when that is to be fired: later than `next` by its jitter
--   paused    '' or the body {actor, reason} of its schedule.paused; paused_at: since when (ms)
--   buffered  '' or an occurrence that waits for the job of an earlier one to end
--   running   ids of jobs that may live, for overlap policies that ask; with spaces between
--   digest    of the declaration in code it was last made from; '' if none
--   last_job, last_occurrence, last_at   its last firing
-- Of a deleted one that had been declared, the digest alone is left.
local SCHEDULE_DUE = P .. ':schedule_due'

local function schedule_key(name)
  return P .. ':schedule:' .. name
end

-- Says when workers are to look at a schedule: at its next firing, and each second while an
-- occurrence waits for a job to end, for nothing tells when it does.
local function arrange(name, now, next_at, due, paused, buffered)
  if paused ~= '' or (next_at == '' and buffered == '') then
    redis.call('ZREM', SCHEDULE_DUE, name)
    return
  end
  local at = tonumber(due)
  if buffered ~= '' then
    at = math.min(at or math.huge, now + 1000)
  end
  redis.call('ZADD', SCHEDULE_DUE, at, name)
end
