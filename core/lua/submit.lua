#!lua
-- Accepts jobs: all of them, or none.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  command id: the same one again gives the first reply again, and does nothing
-- ARGV[2]  how long the command id is kept (ms)
-- ARGV[3…] per job: id, priority, due, expires, body
--          due: '0' now · '+N' in N ms · 'N' at N ms since 1970;  expires: ms since 1970, 0 never
--          body: of job.submitted, kept as the job's spec
--
-- Replies  {epoch, first seq, again}: job i has seq `first + i - 1`; again: 1 if seen before
--          LOGLOST …     the log is gone
--          IDTAKEN id    a job of that id lives here, or it is there twice: nothing was accepted
--          INVALID …     a due that is no time: nothing was accepted
--          DRAINING …    the queue takes no jobs: nothing was accepted
--          OOM …         memory is full: nothing was accepted
-- Appends  job.submitted (one each, in order); then job.queued{due} for due times already past
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
local fault = open_log()
if fault then return fault end

local once = P .. ':once:' .. ARGV[1]
local seen = redis.call('GET', once)
if seen then
  local colon = string.find(seen, ':', 1, true)
  return {string.sub(seen, 1, colon - 1), tonumber(string.sub(seen, colon + 1)), 1}
end
local refused = refuse_draining()
if refused then return refused end
local now = now_ms()
local keys, dues, known = {}, {}, {}
for i = 3, #ARGV, 5 do
  local id, due = ARGV[i], ARGV[i + 2]
  local k = #keys + 1
  if known[id] then
    return redis.error_reply('IDTAKEN ' .. id)
  end
  known[id] = true
  keys[k] = job_key(id)
  if due ~= '0' then
    dues[k] = tonumber(due)
    if not dues[k] then
      return redis.error_reply('INVALID due of job ' .. id .. ': ' .. due)
    end
    if string.byte(due) == 43 then
      dues[k] = now + dues[k]
    end
  end
end
for first = 1, #keys, 5000 do
  local last = math.min(first + 4999, #keys)
  if redis.call('EXISTS', unpack(keys, first, last)) > 0 then
    for i = first, last do
      if redis.call('EXISTS', keys[i]) == 1 then
        return redis.error_reply('IDTAKEN ' .. ARGV[3 + (i - 1) * 5])
      end
    end
  end
end

local first_seq = seq + 1
local any_ready = false
local past = false
local k = 0
for i = 3, #ARGV, 5 do
  local id, priority, expires, body = ARGV[i], ARGV[i + 1], ARGV[i + 3], ARGV[i + 4]
  k = k + 1
  local at = dues[k]
  append('job.submitted', id, 1, body)
  if not at then
    local entry = enter(priority, id)
    redis.call('SET', keys[k], pack(QUEUED, priority, 0, 0, 0, 1, 2, expires, entry) .. body)
    any_ready = true
  else
    redis.call('SET', keys[k], pack(SCHEDULED, priority, 0, 0, 0, 1, 0, expires, '') .. body)
    wait_until(id, at)
    past = past or at <= now
  end
end
if past and promote(now, #keys) > 0 then
  any_ready = true
end
close_log()
redis.call('SET', once, epoch .. ':' .. first_seq, 'PX', ARGV[2])
if any_ready then
  ring()
end
return {epoch, first_seq, 0}
