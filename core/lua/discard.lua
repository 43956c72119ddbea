#!lua
-- Notes of jobs that have failed that nobody is interested in them any more: they are no dead letters.
-- Jobs that wait for one to be run again are told that it will not be.
-- Nothing is kept here of a job that has ended but its last version, until an hour after that is
-- archived, so that whoever read an older one can neither discard nor redrive it.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  body {actor, reason, command} of the event
-- ARGV[2…] per job: id, version of its last event, which must be its job.failed
--
-- Replies  one per job: 'discarded' · 'live' (it is not at its end) · 'stale' (that is not its last
--          version: somebody else discarded or redrove it)
--          LOGLOST …   the log is gone
--          OOM …       memory is full: nothing was done
-- Appends  job.discarded
--@include header
--@include log
--@include ending
local fault = open_log()
if fault then return fault end

local before = seq
local replies = {}
for i = 2, #ARGV, 2 do
  local id, version = ARGV[i], tonumber(ARGV[i + 1])
  local gone = P .. ':gone:' .. id
  local last = redis.call('GET', gone)
  local reply = 'discarded'
  if redis.call('EXISTS', job_key(id)) == 1 then
    reply = 'live'
  elseif last and tonumber(last) ~= version then
    reply = 'stale'
  else
    append('job.discarded', id, version + 1, ARGV[1])
    remember(id, version + 1)
    if redis.call('EXISTS', awaited_key(id)) == 1 then
      tell(id, 'discarded')
    end
  end
  replies[#replies + 1] = reply
end
bury()
if seq > before then
  close_log()
end
return replies
