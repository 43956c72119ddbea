-- Locks: a job stands for all that are like it. `:unique:<digest>` holds the job's id, and the
-- epoch and seq of its last spec: "id:epoch:seq". Needs header, log, ending, waiting and gates.
--
-- A lock is looked at when somebody asks for it and not before: that its job runs, or is gone,
-- needs no write of its own.

-- The header of a job's hot state, without its spec, which may be long; nil if it is gone.
local function header_of(id)
  local raw = redis.call('GETRANGE', job_key(id), 0, 52)
  return raw ~= '' and raw or nil
end

-- What the header of a job says that waits, in whatever way; nil if it runs.
local function waits(raw)
  local state, priority, flags, _, _, version, fence, _, entry = struct.unpack(FORMAT, raw)
  if state == RUNNING or (state == QUEUED and started(priority, entry)) then
    return nil
  end
  return {state = state, priority = priority, flags = flags, version = version, fence = fence,
    entry = entry}
end

-- Who holds a lock: "id:epoch:seq", and the header of that job; nil if the lock is free.
local function holder_of(lock)
  local held = redis.call('GET', unique_key(lock.digest))
  if not held then
    return nil
  end
  local raw = header_of(string.match(held, '^[^:]*'))
  if lock.scope == 'period' then
    return held, raw
  end
  if not raw or (lock.scope == 'waiting' and not waits(raw)) then
    return nil
  end
  return held, raw
end

local function take_lock(lock, held)
  if lock.scope == 'period' then
    redis.call('SET', unique_key(lock.digest), held, 'PX', lock.ms)
  else
    redis.call('SET', unique_key(lock.digest), held)
  end
end

-- The state of a job as a client is told it: that of the header, but running if it was started; 0
-- for a job that is gone.
local function state_of(raw)
  if not raw then
    return 0
  end
  return waits(raw) and string.byte(raw, 1) or RUNNING
end

-- Gives a waiting job another spec: fresh attempts and no steps, at its new place. `at`: ms, or nil
-- for now. Returns the gates it held: others are let in there once no lock is asked for any more,
-- since one that has expired ends then, and its lock with it.
local function replace(id, job, at, priority, expires, body)
  local version, flags = job.version + 1, job.flags
  append('job.replaced', id, version, body)
  if bit.band(flags, STEPS) ~= 0 then
    flags = flags - STEPS
    redis.call('UNLINK', steps_key(id))
  end
  local gone = {}
  withdraw(id, job.state, job.priority, job.fence, job.entry, gone)
  leave(gone)
  local left = {}
  if limited then
    left = vacate(id, gates_for(redis.call('GETRANGE', job_key(id), 0, HEAD)), 1)  -- by its old keys
  end
  if at then
    redis.call('SET', job_key(id), pack(SCHEDULED, priority, flags, 0, 0, version, 0, expires, '')
      .. body)
    wait_until(id, at)
  else
    redis.call('SET', job_key(id), pack(QUEUED, priority, flags, 0, 0, version, version + 1,
      expires, enter(priority, id)) .. body)
    ring()
  end
  return left
end
