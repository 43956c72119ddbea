#!lua
-- Has a job that was submitted open wait for more jobs, or for no more of them.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  the job
-- ARGV[2]  '' or the body of job.extended
-- ARGV[3]  '' or the body of job.closed: it waits for no more than it does now
-- ARGV[4…] per parent: id, '' or how it ended
--
-- Replies  'extended' · 'closed' (it was closed before) · 'missing' (no such job waits for others);
--          nothing was done in the last two
--          LOGLOST …   the log is gone
--          OOM …       memory is full: nothing was done
-- Appends  job.extended · job.closed; then as join
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
--@include joining
local fault = open_log()
if fault then return fault end

local id = ARGV[1]
local key = job_key(id)
local raw = redis.call('GETRANGE', key, 0, HEAD)
if raw == '' or struct.unpack(FORMAT, raw) ~= DEPENDENT then
  return 'missing'
end
if redis.call('SISMEMBER', parents_key(id), OPEN) == 0 then
  return 'closed'
end

local function note(kind, body)
  local state, priority, flags, crashes, attempt, version, fence, expires, entry =
    struct.unpack(FORMAT, raw)
  append(kind, id, version + 1, body)
  redis.call('SETRANGE', key, 0, pack(state, priority, flags, crashes, attempt, version + 1, fence,
    expires, entry))
  raw = redis.call('GETRANGE', key, 0, HEAD)
end

local parents, ended = {}, {}
for i = 4, #ARGV, 2 do
  local parent = ARGV[i]
  parents[#parents + 1] = parent
  local outcome = ARGV[i + 1] ~= '' and ARGV[i + 1] or redis.call('HGET', early_key(id), parent)
  if outcome then
    ended[#ended + 1] = parent
    ended[#ended + 1] = outcome
  end
end
if ARGV[2] ~= '' then
  note('job.extended', ARGV[2])
  add_all(parents_key(id), parents)
end
if ARGV[3] ~= '' then
  note('job.closed', ARGV[3])
  redis.call('SREM', parents_key(id), OPEN)
  redis.call('UNLINK', early_key(id))
end
hear(id, raw, ended)
bury()
close_log()
if joined > 0 then
  ring()
end
return 'extended'
