#!lua flags=no-writes
-- Tells how a queue stands, at a cost that does not grow with its jobs; also when its log is lost.
--
-- KEYS[1]  partition prefix
--
-- Replies  {now, mode, jobs that may run now, jobs that wait for a time, jobs that wait for a limit
--          or for other jobs, jobs that run, since when the first of those that may run has been waiting, next due};
--          times ms since 1970, 0: none
-- Appends  nothing
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
open_log()

local queued, running, oldest = 0, 0, 0
for priority in string.gmatch(lanes, '.') do
  local stream = ready_key(priority)
  -- A lost group holds nothing: until it is mended, what ran is told as waiting.
  local pending = redis.pcall('XPENDING', stream, GROUP)
  local held = pending.err and 0 or pending[1]
  running = running + held
  queued = queued + redis.call('XLEN', stream) - held
  local last = redis.call('HGET', META, 'delivered:' .. priority) or '0-0'
  local first = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
  if first then
    local since = tonumber(string.sub(first[1], 1, 13))
    oldest = oldest == 0 and since or math.min(oldest, since)
  end
end
return {now_ms(), mode, queued, redis.call('ZCARD', DUE), 
  redis.call('HLEN', PARKED) + redis.call('ZCARD', DEPENDENTS), running,
  oldest, next_due()}
