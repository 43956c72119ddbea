-- Cancels a job: a waiting one at once, a running one by asking its worker. Needs header, log,
-- ending, waiting and gates.

-- `body` {actor, reason} is that of the event; ready entries to take away are noted in `gone`: the
-- script calls `leave(gone)` and `bury()` when all is done. Returns 'cancelled' · 'requested' ·
-- 'pending' (was requested before) · 'missing' (no live job of that id).
local function cancel(id, body, gone)
  local key = job_key(id)
  local raw = redis.call('GET', key)
  if not raw or over[id] then
    return 'missing'
  end
  local state, priority, flags, crashes, attempt, version, fence, expires, entry =
    struct.unpack(FORMAT, raw)
  if flags % 2 == CANCEL then
    return 'pending'
  end
  if fence > 0 and started(priority, entry) then
    version = math.max(version, fence) + 1
    append('job.cancel_requested', id, version, body)
    redis.call('SETRANGE', key, 0, pack(RUNNING, priority, flags + CANCEL, crashes, attempt,
      version, fence, expires, entry))
    return 'requested'
  end
  version = version + 1
  append('job.cancelled', id, version, body)
  withdraw(id, state, priority, fence, entry, gone)
  conclude(id, flags, version, raw)
  return 'cancelled'
end
