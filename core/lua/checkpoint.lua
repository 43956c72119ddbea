#!lua flags=allow-oom
-- Keeps what steps of running jobs gave, each for the lease it names and no other.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  how many steps a job may have
-- ARGV[2…] per step: id, fence, step, body of its event
--
-- A step that is there already is left as it is: the same lease sent it before, and its reply was
-- lost. Steps of earlier leases are known to the worker, so it does not send those.
--
-- Replies  one per step: 1 kept · 2 kept, cancellation was requested · 0 refused: the lease was
--          lost, or the job has ended, or the server lost the job.started of that lease in a crash ·
--          -1 the job has as many steps as it may have
--          LOGLOST …   the log is gone
-- Appends  job.checkpointed
--@include header
--@include log
--@include ending
--@include waiting
local fault = open_log()
if fault then return fault end

local most = tonumber(ARGV[1])
local before = seq

local function keep(id, fence, step, body)
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
  local steps = steps_key(id)
  if bit.band(flags, STEPS) == 0 or redis.call('HEXISTS', steps, step) == 0 then
    if redis.call('HLEN', steps) >= most then
      return -1
    end
    version = math.max(version, fence) + 1
    append('job.checkpointed', id, version, body)
    redis.call('HSET', steps, step, body)
    -- Like a request to cancel: the lease goes on, so its fence stays.
    redis.call('SETRANGE', key, 0, pack(RUNNING, priority, bit.bor(flags, STEPS), crashes, attempt,
      version, fence, expires, entry))
  end
  return 1 + flags % 2
end

local replies = {}
for i = 2, #ARGV, 4 do
  replies[#replies + 1] = keep(ARGV[i], version_of(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3])
end
if seq > before then
  close_log()
end
return replies
