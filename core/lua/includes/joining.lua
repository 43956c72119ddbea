-- Jobs that wait for others to end. Needs header, log, ending, waiting and gates.
--
-- Each is in `:dependents`, a sorted set by when it was last seen to (ms); the jobs it waits for are in
-- `:parents:<id>`. What becomes of one whose parent did not succeed is said by the field
-- `on_parent_failure` of its spec: fail, cancel, run (as if it had succeeded), or wait (for it to be run
-- again, which nobody will do who has discarded it).
local OUTCOMES = {succeeded = 'succeeded', failed = 'failed', cancelled = 'was cancelled',
  missing = 'is not there', discarded = 'failed and was discarded'}
local joined = 0  -- jobs that may run now, since they wait no more

local function add_all(key, members)
  for first = 1, #members, 1000 do
    redis.call('SADD', key, unpack(members, first, math.min(first + 999, #members)))
  end
end

-- Lets a job go on whose parents are all done: it may run, or waits for its time.
local function go_on(id, raw)
  local _, priority, flags, crashes, attempt, version, _, expires, entry = struct.unpack(FORMAT, raw)
  local now = now_ms()
  local due = string.match(entry, '^[+%d]+')
  local at = due and tonumber(due)
  if at and string.byte(due) == 43 then
    at = now + at
  end
  stop_depending(id)
  version = version + 1
  if expires > 0 and expires <= math.max(at or 0, now) then
    append('job.failed', id, version, '{"reason":"expired"}')
    conclude(id, flags, version, raw)
  elseif at and at > now then
    append('job.joined', id, version, string.format('{"run_at":%.0f}', at))
    redis.call('SETRANGE', job_key(id), 0, pack(SCHEDULED, priority, flags, crashes, attempt, version,
      0, expires, ''))
    wait_until(id, at)
  else
    append('job.joined', id, version, '{}')
    redis.call('SETRANGE', job_key(id), 0, pack(QUEUED, priority, flags, crashes, attempt, version,
      version + 1, expires, enter(priority, id)))
    joined = joined + 1
  end
end

-- Ends a job because of a parent that did not succeed.
local function give_up(id, raw, policy, parent, outcome)
  local _, _, flags, _, _, version = struct.unpack(FORMAT, raw)
  local why = 'job ' .. parent .. ', which it depends on, ' .. OUTCOMES[outcome]
  stop_depending(id)
  if policy == 'cancel' then
    append('job.cancelled', id, version + 1, '{"reason":"' .. why .. '"}')
  else
    local reason = outcome == 'missing' and 'parent_missing' or 'parent_failed'
    append('job.failed', id, version + 1, '{"reason":"' .. reason .. '","parent":"' .. parent
      .. '","error":{"type":"' .. reason .. '","message":"' .. why .. '"}}')
  end
  conclude(id, flags, version + 1, raw)
end

-- Tells a job that waits for others how some of them ended: parent, outcome, and so on. `raw`: its
-- header and the head of its spec. The same may be told again.
local function hear(id, raw, ended)
  local policy = string.match(raw, '"on_parent_failure":"(%l+)"')
  local parents = parents_key(id)
  local open = redis.call('SISMEMBER', parents, OPEN) == 1
  local done = {}
  for i = 1, #ended, 2 do
    local parent, outcome = ended[i], ended[i + 1]
    if open then
      -- It may be told only later that it waits for this one.
      redis.call('HSET', early_key(id), parent, outcome)
    end
    if outcome == 'succeeded' or (policy == 'run' and outcome ~= 'missing') then
      done[#done + 1] = parent
    elseif (policy ~= 'wait' or outcome == 'missing' or outcome == 'discarded')
      and redis.call('SISMEMBER', parents, parent) == 1 then
      give_up(id, raw, policy, parent, outcome)
      return
    end
  end
  for first = 1, #done, 1000 do
    redis.call('SREM', parents, unpack(done, first, math.min(first + 999, #done)))
  end
  if redis.call('EXISTS', parents) == 0 then
    go_on(id, raw)
  end
end
