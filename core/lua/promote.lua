#!lua flags=allow-oom
-- Lets jobs run whose time has come, also while no worker has a free slot.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  how many at most
--
-- Replies  {promoted, next due (ms since 1970; 0: none)}
--          LOGLOST …   the log is gone
-- Appends  job.queued{due|retry|limit} · job.failed{expired}
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
local fault = open_log()
if fault then return fault end

local before = seq
local promoted = promote(now_ms(), tonumber(ARGV[1]))
if limited then
  let_in_anywhere(tonumber(ARGV[1]))
end
if seq > before then
  close_log()
  ring()
end
return {promoted, next_due()}
