#!lua flags=allow-oom
-- Tells which schedules are to be looked at now, and when the next one is.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  how many to pass over: those the caller can do nothing with
-- ARGV[2]  how many at most
--
-- Replies  {now, when the next one is due (0: none), names, their fields}: times ms since 1970; as
--          many as asked for: there may be more. None while the queue is draining
--          LOGLOST …   the log is gone
-- Appends  nothing
--@include log
--@include planned
local fault = open_log()
if fault then return fault end

local now = now_ms()
if mode == 'draining' then
  return {now, 0, {}, {}}
end
local names = redis.call('ZRANGEBYSCORE', SCHEDULE_DUE, '-inf', now, 'LIMIT', ARGV[1], ARGV[2])
local fields = {}
for i, name in ipairs(names) do
  fields[i] = redis.call('HGETALL', schedule_key(name))
  if #fields[i] == 0 then
    -- Nothing of it is left (a lost key): it must not stand in the way of others for ever.
    redis.call('ZREM', SCHEDULE_DUE, name)
  end
end
local later = redis.call('ZRANGEBYSCORE', SCHEDULE_DUE, '(' .. string.format('%.0f', now), '+inf',
  'WITHSCORES', 'LIMIT', 0, 1)
return {now, tonumber(later[2] or '0'), names, fields}
