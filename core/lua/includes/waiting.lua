-- Where jobs wait: ready streams by priority, and `due` by time. Needs header, log and ending.
local GROUP = 'workers'
local DUE = P .. ':due'
local BELL = P .. ':bell'
local TIMERS = P .. ':timers'
local DEPENDENTS = P .. ':dependents'
local SERVING = P .. ':serving'  -- workers that came, and neither left nor were lost

local function ready_key(priority)
  return P .. ':ready:' .. priority
end

-- Wakes one worker that waits. The list never holds more than one token.
local function ring()
  if redis.call('LLEN', BELL) == 0 then
    redis.call('RPUSH', BELL, '1')
  end
end

-- Makes the ready stream of a priority at its first use, and remembers it in `lanes`, sorted, so
-- that a claim looks only at streams that exist.
local function ensure_lane(priority)
  if string.find(lanes, priority, 1, true) then
    return
  end
  redis.call('XGROUP', 'CREATE', ready_key(priority), GROUP, '0', 'MKSTREAM')
  local all = {}
  for lane in string.gmatch(lanes .. priority, '.') do
    all[#all + 1] = lane
  end
  table.sort(all)
  lanes = table.concat(all)
  redis.call('HSET', META, 'lanes', lanes)
end

-- Puts a job into its ready stream; returns the entry's id.
local function enter(priority, id)
  ensure_lane(priority)
  return redis.call('XADD', ready_key(priority), '*', 'job', id)
end

-- Whether a ready entry was given to a worker: entries are given in their order, and a
-- claim notes the last. The group's own list of pending entries may be gone when this is asked.
-- The first 13 characters of an id are its ms, until the year 2286: they compare as text.
local delivered = {}
local function started(priority, entry)
  local last = delivered[priority]
  if not last then
    local id = redis.call('HGET', META, 'delivered:' .. priority) or '0000000000000-0'
    last = {ms = string.sub(id, 1, 13), n = tonumber(string.sub(id, 15))}
    delivered[priority] = last
  end
  local ms = string.sub(entry, 1, 13)
  return ms < last.ms or (ms == last.ms and tonumber(string.sub(entry, 15)) <= last.n)
end

-- Takes ready entries away, batched by priority: gone[priority] = {entry id, ...}.
local function leave(gone)
  for priority, entries in pairs(gone) do
    for first = 1, #entries, 1000 do
      local last = math.min(first + 999, #entries)
      redis.call('XACK', ready_key(priority), GROUP, unpack(entries, first, last))
      redis.call('XDEL', ready_key(priority), unpack(entries, first, last))
    end
  end
end

local function note(gone, priority, entry)
  local entries = gone[priority]
  if not entries then
    entries = {}
    gone[priority] = entries
  end
  entries[#entries + 1] = entry
end

local OPEN = 'open'
local FEW = 100  -- so many are told at once that a job waits for them no more

-- The jobs that a job waits for still; `open` among them: there may be more to come.
local function parents_key(id)
  return P .. ':parents:' .. id
end

-- What parents told a job before it was known to wait for them: parent → outcome.
local function early_key(id)
  return P .. ':early:' .. id
end

-- Has a job wait for no others any more. Those it would have waited for also after a failure hear that
-- it left: they may have kept that for long.
local function stop_depending(id)
  local spec = redis.call('GETRANGE', job_key(id), 53, HEAD)
  if string.match(spec, '"on_parent_failure":"(%l+)"') == 'wait' then
    redis.call('SREM', parents_key(id), OPEN)
    if redis.call('SCARD', parents_key(id)) > FEW then
      redis.call('RENAME', parents_key(id), leaving_key(id))
      send_left(id)
    else
      send(redis.call('SMEMBERS', parents_key(id)), id .. ' left')
    end
  end
  redis.call('ZREM', DEPENDENTS, id)
  redis.call('UNLINK', parents_key(id), early_key(id))
end

-- Takes a job that waits from wherever it does: at once, but for a ready entry, which is noted in
-- `gone` for `leave`. The one place that knows where a waiting job can stand.
local function withdraw(id, state, priority, fence, entry, gone)
  if fence > 0 then
    note(gone, priority, entry)
  elseif state == BLOCKED then
    unpark(id)
  elseif state == DEPENDENT then
    stop_depending(id)
  else
    redis.call('ZREM', DUE, id)
  end
end

-- Has a lane's group forget a consumer that holds nothing; with its pending entries its leases
-- would be lost.
local function dismiss(priority, worker)
  local held = redis.pcall('XPENDING', ready_key(priority), GROUP, '-', '+', 1, worker)
  if not held.err and #held == 0 then
    redis.call('XGROUP', 'DELCONSUMER', ready_key(priority), GROUP, worker)
  end
end

-- Lets a job wait until `at`; rings if it is now the first, for who waits may wait too long.
local function wait_until(id, at)
  redis.call('ZADD', DUE, at, id)
  if redis.call('ZRANGE', DUE, 0, 0)[1] == id then
    ring()
  end
end

-- The sooner of two times, of which 0 is none.
local function sooner(a, b)
  return (a == 0 or (b > 0 and b < a)) and b or a
end

-- When to look again for jobs whose time has come (ms; 0: none), or for those a rate lets in.
local function next_due()
  local due = tonumber(redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2] or '0')
  if limited then
    return sooner(due, tonumber(redis.call('ZRANGE', TIMERS, 0, 0, 'WITHSCORES')[2] or '0'))
  end
  return due
end

-- Moves jobs whose time has come into their ready streams, at most `limit` and at most 1000, for
-- Lua cannot unpack many more; returns how many. An expired one fails instead.
local function promote(now, limit)
  limit = math.min(limit, 1000)
  if limited then
    ring_gates(now, limit)
  end
  local ids = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, limit)
  if #ids == 0 then
    return 0
  end
  local keys = {}
  for i, id in ipairs(ids) do
    keys[i] = job_key(id)
  end
  local raws = redis.call('MGET', unpack(keys))
  redis.call('ZREM', DUE, unpack(ids))
  for i, id in ipairs(ids) do
    local raw = raws[i]
    if raw then
      local state, priority, flags, crashes, attempt, version, _, expires =
        struct.unpack(FORMAT, raw)
      if expires > 0 and expires <= now then
        append('job.failed', id, version + 1, '{"reason":"expired"}')
        conclude(id, flags, version + 1, raw)
      else
        local cause = state == RETRYING and 'retry' or 'due'
        append('job.queued', id, version + 1, '{"cause":"' .. cause .. '"}')
        redis.call('SETRANGE', keys[i], 0, pack(QUEUED, priority, flags, crashes, attempt,
          version + 1, version + 2, expires, enter(priority, id)))
      end
    end
  end
  bury()
  return #ids
end
