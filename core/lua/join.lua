#!lua flags=allow-oom
-- Tells jobs that wait for others how those ended. It may be told any number of times: who is
-- waited for no more is no member of a set any more.
--
-- KEYS[1]  partition prefix
-- ARGV     per job: id, how many others, then per other: id, and what became of it: succeeded · failed ·
--          cancelled · discarded (it failed, and will not be run again) · missing (it never was); or
--          left: it waits for this job no more
--
-- What is told to a job that is not there yet, as its id tells by its time, is kept for an hour: the
-- parents of a flow are submitted before those that wait for them, and may end before.
--
-- Replies  {jobs that may run now, 1 if jobs ended here that others wait for}
--          LOGLOST …   the log is gone
-- Appends  job.joined{run_at} · job.failed{parent_failed|parent_missing|expired} ·
--          job.cancelled
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
--@include joining
local fault = open_log()
if fault then return fault end

local before = seq
local now = now_ms()

-- Whether a job may have been made so little time ago that it is still to be submitted.
local function is_young(id)
  local made = tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
  return made and made > now - 86400000
end

local i = 1
while i <= #ARGV do
  local id, count = ARGV[i], tonumber(ARGV[i + 1])
  local ended = {}
  for n = i + 2, i + 2 * count, 2 do
    if ARGV[n + 1] == 'left' then
      redis.call('SREM', awaited_key(id), ARGV[n] .. '*')
    else
      ended[#ended + 1] = ARGV[n]
      ended[#ended + 1] = ARGV[n + 1]
    end
  end
  local raw = over[id] and '' or redis.call('GETRANGE', job_key(id), 0, HEAD)
  if raw == '' then
    if #ended > 0 and not over[id] and is_young(id) then
      for first = 1, #ended, 1000 do
        redis.call('HSET', early_key(id), unpack(ended, first, math.min(first + 999, #ended)))
      end
      if redis.call('PTTL', early_key(id)) < 0 then
        redis.call('PEXPIRE', early_key(id), 3600000)
      end
    end
  elseif #ended > 0 and struct.unpack(FORMAT, raw) == DEPENDENT then
    hear(id, raw, ended)
  end
  i = i + 2 + 2 * count
end
bury()
if seq > before then
  close_log()
end
if joined > 0 then
  ring()
end
return {joined, notices > 0 and 1 or 0}
