#!lua
-- Runs jobs again that have ended, with fresh attempts, at once or later. Their specs come from the
-- archive, since no hot state is kept of a job that has ended.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  body {actor, reason, command} of the event; a time is written into it here
-- ARGV[2…] per job: id, priority, version of its last event, spec (body of job.submitted), ms from
--          now until it is to run (0: at once)
--
-- Replies  one per job: 'queued' · 'scheduled' (for later) · 'live' (it is not at its end) · 'stale'
--          (that is not its last version: somebody else redrove or discarded it)
--          LOGLOST …   the log is gone
--          DRAINING …  the queue takes no jobs: nothing was done
--          INVALID …   that is no delay: nothing was done
--          OOM …       memory is full: nothing was done
-- Appends  job.redriven{run_at, of those for later}
--@include header
--@include log
--@include ending
--@include waiting
local function forget(id)
  redis.call('DEL', P .. ':gone:' .. id)
  redis.call('ZREM', P .. ':gone', id)
end

local fault = open_log()
if fault then return fault end

local refused = refuse_draining()
if refused then return refused end
for i = 6, #ARGV, 5 do
  if not string.match(ARGV[i], '^%d+$') or tonumber(ARGV[i]) > 2^52 then
    return redis.error_reply('INVALID delay in ms: ' .. ARGV[i])
  end
end
local now = now_ms()
local open_body = string.sub(ARGV[1], 1, -2) .. (ARGV[1] == '{}' and '' or ',')
local before = seq
local replies = {}
local any_ready = false
for i = 2, #ARGV, 5 do
  local id, priority, version, spec = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local delay = tonumber(ARGV[i + 4])
  local key = job_key(id)
  local gone = P .. ':gone:' .. id
  local last = redis.call('GET', gone)
  local reply
  local flags = REDRIVEN + redis.call('EXISTS', awaited_key(id)) * AWAITED
  if redis.call('EXISTS', key) == 1 then
    reply = 'live'
  elseif last and tonumber(last) ~= version then
    reply = 'stale'
  elseif delay > 0 then
    reply = 'scheduled'
    forget(id)
    append('job.redriven', id, version + 1, open_body
      .. string.format('"run_at":%.0f}', now + delay))
    redis.call('SET', key, pack(SCHEDULED, priority, flags, 0, 0, version + 1, 0, 0, '') .. spec)
    wait_until(id, now + delay)
  else
    reply = 'queued'
    forget(id)
    append('job.redriven', id, version + 1, ARGV[1])
    local entry = enter(priority, id)
    redis.call('SET', key, pack(QUEUED, priority, flags, 0, 0, version + 1, version + 2, 0,
      entry) .. spec)
    any_ready = true
  end
  replies[#replies + 1] = reply
end
if seq > before then
  close_log()
end
if any_ready then
  ring()
end
return replies
