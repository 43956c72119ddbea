#!lua flags=allow-oom
-- Cancels jobs: a waiting one at once, a running one by asking its worker.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  body {actor, reason} of the event
-- ARGV[2…] ids
--
-- Replies  one per job: 'cancelled' · 'requested' (it runs; its worker is told at the next renewal) ·
--          'pending' (was requested before) · 'missing' (no live job of that id)
--          LOGLOST …   the log is gone
-- Appends  job.cancelled · job.cancel_requested
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
local fault = open_log()
if fault then return fault end

local before = seq
local gone, replies = {}, {}

local function cancel(id)
  local key = job_key(id)
  local raw = redis.call('GET', key)
  if not raw or over[id] then
    return 'missing'
  end
  local state, priority, flags, crashes, attempt, version, fence, expires, entry =
    struct.unpack(FORMAT, raw)
  if flags % 2 == CANCEL then
    return 'pending'
  end
  if fence > 0 and started(priority, entry) then
    version = math.max(version, fence) + 1
    append('job.cancel_requested', id, version, ARGV[1])
    redis.call('SETRANGE', key, 0, pack(RUNNING, priority, flags + CANCEL, crashes, attempt,
      version, fence, expires, entry))
    return 'requested'
  end
  version = version + 1
  append('job.cancelled', id, version, ARGV[1])
  withdraw(id, state, priority, fence, entry, gone)
  conclude(id, flags, version, raw)
  return 'cancelled'
end

for i = 2, #ARGV do
  replies[i - 1] = cancel(ARGV[i])
end
leave(gone)
bury()
if seq > before then
  close_log()
end
return replies
