#!lua
-- Runs jobs again that have ended, with fresh attempts. Their specs come from the archive, since
-- no hot state is kept of a job that has ended.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  body {actor, reason} of the event
-- ARGV[2…] per job: id, priority, version of its last event, spec (body of job.submitted)
--
-- Replies  one per job: 'queued' · 'live' (it is not at its end) · 'stale' (that is not its last
--          version: somebody else redrove it)
--          LOGLOST …   the log is gone
--          DRAINING …  the queue takes no jobs: nothing was done
--          OOM …       memory is full: nothing was done
-- Appends  job.redriven
--@include header
--@include log
--@include ending
--@include waiting
local fault = open_log()
if fault then return fault end

local refused = refuse_draining()
if refused then return refused end
local before = seq
local replies = {}
for i = 2, #ARGV, 4 do
  local id, priority, version, spec = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local key = job_key(id)
  local gone = P .. ':gone:' .. id
  local last = redis.call('GET', gone)
  local reply = 'queued'
  if redis.call('EXISTS', key) == 1 then
    reply = 'live'
  elseif last and tonumber(last) ~= version then
    reply = 'stale'
  else
    redis.call('DEL', gone)
    append('job.redriven', id, version + 1, ARGV[1])
    local entry = enter(priority, id)
    redis.call('SET', key, pack(QUEUED, priority, REDRIVEN, 0, 0, version + 1, version + 2, 0,
      entry) .. spec)
  end
  replies[#replies + 1] = reply
end
if seq > before then
  close_log()
  ring()
end
return replies
