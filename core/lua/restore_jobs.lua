#!lua
-- Makes the hot state of jobs again while their partition is being restored, and appends what that
-- changes of them.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  the new epoch
-- ARGV[2…] per job: id, state, priority, flags, crashes, attempt, version, at, expires, spec, number
--          of events, of steps, of jobs it waits for, then per event: type, body, per step: name, body,
--          and those jobs
--          state    as in header: 1 scheduled, 2 queued, 5 retrying, 6 waits for jobs; 0: it has ended,
--                   or there is none (events of the queue itself): only its events are appended
--          version  before its events; each of them is one version on
--          at       ms: when it became ready, or when it is due; of a job that waits for others what
--                   its header says of that
--
-- Replies  per job the seq of its first event, 0 if it has none
--          INVALID …   this epoch is not being restored: nothing was done
-- Appends  the events given
--@include header
--@include log
--@include ending
--@include waiting
local meta = redis.call('HMGET', META, 'seq', 'epoch', 'lanes', 'restoring')
if meta[4] ~= ARGV[1] or meta[2] ~= ARGV[1] then
  return redis.error_reply('INVALID epoch ' .. ARGV[1] .. ' of ' .. META .. ' is not being restored')
end
seq, epoch, lanes = tonumber(meta[1]), meta[2], meta[3] or ''

-- Puts a job into its ready stream where it stood by its age, if nothing younger is there yet.
local function enter_at(priority, id, at)
  ensure_lane(priority)
  local entry = redis.pcall('XADD', ready_key(priority), at .. '-*', 'job', id)
  if type(entry) == 'table' then
    entry = redis.call('XADD', ready_key(priority), '*', 'job', id)
  end
  return entry
end

local replies = {}
local i = 2
while i <= #ARGV do
  local id, state, priority = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local version, at, expires = tonumber(ARGV[i + 6]), ARGV[i + 7], ARGV[i + 8]
  local events, steps, parents = tonumber(ARGV[i + 10]), tonumber(ARGV[i + 11]), ARGV[i + 12]
  local flags, crashes, attempt, spec = ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 9]
  i = i + 13
  replies[#replies + 1] = events > 0 and seq + 1 or 0
  for _ = 1, events do
    version = id == '' and 0 or version + 1
    append(ARGV[i], id, version, ARGV[i + 1])
    i = i + 2
  end
  if state == QUEUED then
    redis.call('SET', job_key(id), pack(QUEUED, priority, flags, crashes, attempt, version,
      version + 1, expires, enter_at(priority, id, at)) .. spec)
  elseif state == DEPENDENT then
    redis.call('SET', job_key(id), pack(DEPENDENT, priority, flags, crashes, attempt, version, 0,
      expires, at) .. spec)
    redis.call('ZADD', DEPENDENTS, 0, id)  -- to be seen to soon: see overdue
  elseif state ~= 0 then
    redis.call('SET', job_key(id), pack(state, priority, flags, crashes, attempt, version, 0,
      expires, '') .. spec)
    redis.call('ZADD', DUE, at, id)
  end
  for _ = 1, steps do
    redis.call('HSET', steps_key(id), ARGV[i], ARGV[i + 1])
    i = i + 2
  end
  for _ = 1, parents do
    redis.call('SADD', parents_key(id), ARGV[i])
    i = i + 1
  end
  if state == 0 and id ~= '' and events > 0 then
    -- Whoever has read the archive without these knows an older version: see discard.
    remember(id, version)
  end
end
redis.call('HSET', META, 'seq', seq)
return replies
