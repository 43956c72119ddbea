#!lua flags=allow-oom
-- Tells how far running jobs have come, each for the lease it names and no other.
--
-- KEYS[1]  partition prefix
-- ARGV     per job: id, fence, body of its event
--
-- Hot state keeps nothing of it but the version.
--
-- Replies  one per job: 1 told · 2 told, cancellation was requested · 0 refused: the lease was lost,
--          or the job has ended, or the server lost the job.started of that lease in a crash
--          LOGLOST …   the log is gone
-- Appends  job.progressed
--@include header
--@include log
--@include ending
--@include waiting
local fault = open_log()
if fault then return fault end

local before = seq

local function tell(id, fence, body)
  local key = job_key(id)
  local raw = redis.call('GETRANGE', key, 0, 52)  -- the header alone
  if raw == '' then
    return 0
  end
  local _, priority, flags, crashes, attempt, version, current, expires, entry =
    struct.unpack(FORMAT, raw)
  if current ~= fence or fence == 0 or not started(priority, entry) then
    return 0
  end
  version = math.max(version, fence) + 1
  append('job.progressed', id, version, body)
  -- Like a request to cancel: the lease goes on, so its fence stays.
  redis.call('SETRANGE', key, 0, pack(RUNNING, priority, flags, crashes, attempt, version, fence,
    expires, entry))
  return 1 + flags % 2
end

local replies = {}
for i = 1, #ARGV, 3 do
  replies[#replies + 1] = tell(ARGV[i], version_of(ARGV[i + 1]), ARGV[i + 2])
end
if seq > before then
  close_log()
end
return replies
