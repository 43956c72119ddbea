#!lua flags=allow-oom
-- Has jobs tell, when they end, those that wait for them.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  '1': note it also of jobs that do not live, for they may be run again
-- ARGV[2…] per pair: the job, who waits for it (with a `*` behind: also once it did not succeed)
--
-- Replies  one per pair: 1 noted, for the job lives · 0 it does not
--          LOGLOST …   the log is gone
-- Appends  nothing
--@include header
--@include log
--@include ending
local fault = open_log()
if fault then return fault end

local replies = {}
for i = 2, #ARGV, 2 do
  local key = job_key(ARGV[i])
  local raw = redis.call('GETRANGE', key, 0, 52)
  if raw ~= '' then
    local _, _, flags = struct.unpack(FORMAT, raw)
    redis.call('SETRANGE', key, 2, string.char(bit.bor(flags, AWAITED)))
  end
  if raw ~= '' or ARGV[1] == '1' then
    redis.call('SADD', awaited_key(ARGV[i]), ARGV[i + 1])
  end
  replies[#replies + 1] = raw ~= '' and 1 or 0
end
return replies
