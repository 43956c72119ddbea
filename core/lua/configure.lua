#!lua flags=allow-oom
-- Changes limits of a queue. They hold for what starts from now on; jobs that run already count
-- against a new concurrency limit, and those that wait for a limit go on as the new one lets them.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  body {actor, reason, settings} of the event
-- ARGV[2…] pairs: field, bound. Fields and bounds as in gates, besides `aging` (ms); '' takes it away
--
-- Replies  1
--          LOGLOST …   the log is gone
--          INVALID …   a bound that is none: nothing was done
-- Appends  queue.configured · job.queued{limit} · job.failed{expired}
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
local fault = open_log()
if fault then return fault end

for i = 2, #ARGV, 2 do
  local field, bound = ARGV[i], ARGV[i + 1]
  local rate = string.sub(field, 1, 1) == 'r'
  local shape = rate and '^[1-9]%d* [1-9]%d* {.*}$' or '^[1-9]%d*$'
  if bound ~= '' and not string.match(bound, shape) then
    return redis.error_reply('INVALID bound of ' .. field .. ': ' .. bound)
  end
end

-- Jobs that run count against a limit from the moment it is there.
local function count_running()
  for priority in string.gmatch(lanes, '.') do
    local stream = ready_key(priority)
    local pending = redis.pcall('XPENDING', stream, GROUP, '-', '+', 100000)
    for _, lease in ipairs(pending.err and {} or pending) do
      local entry = redis.call('XRANGE', stream, lease[1], lease[1])[1]
      local id = entry and entry[2][2]
      local raw = id and redis.call('GET', job_key(id))
      for _, gate in ipairs(raw and gates_for(raw) or {}) do
        if gate and not gate.rate then
          redis.call('SADD', running_key(gate), id)
        end
      end
    end
  end
end

append('queue.configured', '', 0, ARGV[1])
local fresh = false
for i = 2, #ARGV, 2 do
  local field, bound = ARGV[i], ARGV[i + 1]
  local known = redis.call('HEXISTS', LIMITS, field) == 1
  if bound == '' and (field == 'c' or field == 'r' or field == 'aging') then
    redis.call('HDEL', LIMITS, field)
  elseif bound ~= '' or known then
    redis.call('HSET', LIMITS, field, bound == '' and '-' or bound)
    fresh = fresh or not known
  end
end
limited = redis.call('EXISTS', LIMITS) == 1
if limited then
  redis.call('HSET', META, 'limited', 1)
else
  redis.call('HDEL', META, 'limited')
end
if fresh then
  count_running()
end
for _, name in ipairs(redis.call('SRANDMEMBER', GATES, 1000)) do
  let_in(gate_named(name), 100)
end
ring()
close_log()
return 1
