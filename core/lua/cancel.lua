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
--@include cancelling
local fault = open_log()
if fault then return fault end

local before = seq
local gone, replies = {}, {}

for i = 2, #ARGV do
  replies[i - 1] = cancel(ARGV[i], ARGV[1], gone)
end
leave(gone)
bury()
if seq > before then
  close_log()
end
return replies
