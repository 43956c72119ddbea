#!lua flags=allow-oom
-- Has jobs tell, when they end, those that wait for them.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  '1': note it also of jobs that do not live, for they may be run again
-- ARGV[2]  how many jobs may wait for one: its end is told to all in one call
-- ARGV[3…] per pair: the job, who waits for it (with a `*` behind: also once it did not succeed)
--
-- Replies  one per pair: 1 noted, for the job lives · 0 it does not · 2 not noted, for as many wait for
--          it as may
--          LOGLOST …   the log is gone
-- Appends  nothing
--@include header
--@include log
--@include ending
local fault = open_log()
if fault then return fault end

local replies = {}
local most = tonumber(ARGV[2])

-- Notes who waits for a job; whether it may.
local function note(id, waits)
  local key = awaited_key(id)
  if redis.call('SADD', key, waits) == 1 and redis.call('SCARD', key) > most then
    redis.call('SREM', key, waits)
    return false
  end
  return true
end

for i = 3, #ARGV, 2 do
  local key = job_key(ARGV[i])
  local raw = redis.call('GETRANGE', key, 0, 52)
  local reply = raw ~= '' and 1 or 0
  if (raw ~= '' or ARGV[1] == '1') and not note(ARGV[i], ARGV[i + 1]) then
    reply = 2
  elseif raw ~= '' then
    local _, _, flags = struct.unpack(FORMAT, raw)
    redis.call('SETRANGE', key, 2, string.char(bit.bor(flags, AWAITED)))
  end
  replies[#replies + 1] = reply
end
return replies
