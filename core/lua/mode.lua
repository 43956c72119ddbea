#!lua flags=allow-oom
-- Opens a queue, pauses it (it gives no jobs) or drains it (it takes none). One of the three: a
-- queue that is paused and then drained gives its jobs again. What runs is not touched.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  '' open · 'paused' · 'draining'
-- ARGV[2]  body {actor, reason} of the event
--
-- Replies  1 changed, 0 it was so already
--          LOGLOST …   the log is gone
--          INVALID …   that is no mode: nothing was done
-- Appends  queue.resumed · queue.paused · queue.draining
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
local fault = open_log()
if fault then return fault end

local EVENT = {[''] = 'queue.resumed', paused = 'queue.paused', draining = 'queue.draining'}
if not EVENT[ARGV[1]] then
  return redis.error_reply('INVALID mode: ' .. ARGV[1])
end
if mode == ARGV[1] then
  return 0
end
append(EVENT[ARGV[1]], '', 0, ARGV[2])
redis.call('HSET', META, 'mode', ARGV[1])
close_log()
if mode == 'paused' then
  ring()
end
return 1
