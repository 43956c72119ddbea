-- Gates: the limits a job must pass before it starts. Needs header, log, ending and waiting. Asked
-- only while the queue has limits (`limited`).
--
-- A gate has a name: the field of `limits` that holds its bound, and for a limit per key `|` and the
-- key. Fields: c concurrency, r rate; ck, rk the same per key; `:type` behind them where the limit
-- is that of one job type. A bound is a number (concurrency), `interval burst said` (rate: µs between
-- starts, how many may come at once, and the words it was given in), or `-`: none any more, but jobs
-- are still counted.
--
--   :running:<gate>  set of jobs that have passed: until they end (concurrency) or start (rate)
--   :parked:<gate>   sorted set of jobs that wait for it, by priority and arrival
--   :rate:<gate>     µs since 1970 when the next start would be on time (GCRA)
--   :gates           set of gates at which jobs wait
--   :blocked         hash: job → gate it waits at
--   :timers          sorted set of gates at which jobs wait, by when (ms) the next is let in
--
-- Who waits at a gate keeps what it has passed, and nothing of what comes behind that gate; gates
-- come in one order, narrow ones first. So no two jobs wait for each other, and jobs of one key keep
-- their order; those of other keys do not wait behind them.
local LIMITS = P .. ':limits'
local GATES = P .. ':gates'
local PARKED = P .. ':blocked'
local NAMES = {c = 'concurrency', r = 'rate'}
local NONE = {}  -- the gates of a job that has none
local gates, orders = {}, {}

local function running_key(gate) return P .. ':running:' .. gate.name end
local function parked_key(gate) return P .. ':parked:' .. gate.name end
local function rate_key(gate) return P .. ':rate:' .. gate.name end

-- The same in a whole script: which of two rates is looked at first is then no matter of how long
-- the script took.
local started_us
local function now_us()
  if not started_us then
    local time = redis.call('TIME')
    started_us = time[1] * 1000000 + time[2]
  end
  return started_us
end

-- The gate of a name, with the bound in its field; nil if there never was such a limit.
local function gate_of(name, bound)
  local gate = gates[name]
  if not gate and bound then
    local rate = string.sub(name, 1, 1) == 'r'
    gate = {name = name, rate = rate, bound = math.huge}
    if bound ~= '-' then
      local first, second = string.match(bound, '(%d+) ?(%d*)')
      gate.bound = tonumber(rate and second or first)
      gate.interval = rate and tonumber(first)
    end
    gates[name] = gate
  end
  return gate
end

local function gate_named(name)
  return gates[name] or gate_of(name, redis.call('HGET', LIMITS, string.match(name, '^[^|]+')))
end

-- What the keys of a spec are: they follow its type, which ends at `last`, before the payload.
local function keys_of(raw, last)
  local _, key_last, key = string.find(raw, '^,"concurrency_key":"([^"]*)"', last + 1)
  return key, string.match(raw, '^,"rate_key":"([^"]*)"', (key_last or last) + 1)
end

-- The bounds of a type and of all types, read once in a script; whether any are by key, and by type.
local function bounds_of(kind)
  local bounds = orders[kind]
  if not bounds then
    bounds = redis.call('HMGET', LIMITS, 'ck:' .. kind, 'ck', 'rk:' .. kind, 'rk', 'c:' .. kind,
      'r:' .. kind)
    bounds.by_key = bounds[1] or bounds[2] or bounds[3] or bounds[4]
    bounds.by_type = bounds[5] or bounds[6]
    orders[kind] = bounds
  end
  return bounds
end

-- The gates a job must pass, in the order all jobs pass them; NONE, if the limits are all others'.
-- Such jobs pay for a look at their type, and nothing else.
local function gates_for(raw)
  local _, last, kind = string.find(raw, '^{"type":"([^"]*)"', 54)
  local bounds = bounds_of(kind)
  local key, rate
  if bounds.by_key then
    key, rate = keys_of(raw, last)
  end
  if not (key or rate or bounds.by_type) then
    return NONE
  end
  return {
    key and gate_of('ck:' .. kind .. '|' .. key, bounds[1]) or false,
    key and gate_of('ck|' .. key, bounds[2]) or false,
    rate and gate_of('rk:' .. kind .. '|' .. rate, bounds[3]) or false,
    rate and gate_of('rk|' .. rate, bounds[4]) or false,
    gate_of('c:' .. kind, bounds[5]) or false,
    gate_of('r:' .. kind, bounds[6]) or false,
  }
end

-- How a gate is told in events: `concurrency of key tenant-7 of type email.send`.
local function told(gate)
  local kind, key = string.match(gate.name, '^%a+:?([^|]*)|?(.*)$')
  return NAMES[string.sub(gate.name, 1, 1)] .. (key ~= '' and ' of key ' .. key or '')
    .. (kind ~= '' and ' of type ' .. kind or '')
end

-- Reads how a gate stands, once in a script.
local function look(gate)
  if not gate.running then
    gate.running = redis.call('SCARD', running_key(gate))
    gate.parked = redis.call('ZCARD', parked_key(gate))
    gate.on_time = gate.rate and tonumber(redis.call('GET', rate_key(gate)) or 0)
  end
end

-- How many more jobs a gate lets through now.
local function room(gate)
  if not gate.rate or gate.bound == math.huge then
    return gate.bound - gate.running
  end
  local now = now_us()
  local behind = math.max(gate.on_time, now) - now
  return math.floor(gate.bound - behind / gate.interval) - gate.running
end

-- When (ms) a rate has room for one more.
local function room_at(gate)
  local start = math.max(gate.on_time, now_us()) + (gate.running + 1 - gate.bound) * gate.interval
  return math.ceil(start / 1000)
end

-- Has a gate looked at again: a rate when its next start is on time (while as many as may come at once
-- were let through and have not started, they do that); any other soon if it has room, since nobody
-- may be left whose leaving would let the next in.
local function arm(gate)
  if gate.parked == 0 then
    return
  end
  local at
  if gate.interval then
    at = gate.running < gate.bound and room_at(gate)
  else
    at = room(gate) > 0 and math.floor(now_us() / 1000)
  end
  if at then
    redis.call('ZADD', TIMERS, at, gate.name)
    if redis.call('ZRANGE', TIMERS, 0, 0)[1] == gate.name then
      ring()  -- who waits may wait too long
    end
  end
end

-- Takes a job that waits at a gate away from there.
unpark = function(id)
  local name = redis.call('HGET', PARKED, id)
  if name then
    redis.call('HDEL', PARKED, id)
    local gate = gate_named(name)
    look(gate)
    gate.parked = gate.parked - redis.call('ZREM', parked_key(gate), id)
    if gate.parked == 0 then
      redis.call('SREM', GATES, name)
    end
  end
end

-- Puts a job that waited at a gate into its ready stream; one that has expired fails instead.
local function let_through(gate, id)
  local key = job_key(id)
  local raw = redis.call('GET', key)
  if not raw then
    return  -- somebody deleted it: an error here would leave the log ahead of what is noted of it
  end
  local _, priority, flags, crashes, attempt, version, _, expires = struct.unpack(FORMAT, raw)
  version = version + 1
  if expires > 0 and expires <= now_ms() then
    append('job.failed', id, version, '{"reason":"expired"}')
    conclude(id, flags, version, raw)
    bury()
    return
  end
  gate.running = gate.running + redis.call('SADD', running_key(gate), id)
  append('job.queued', id, version, '{"cause":"limit"}')
  redis.call('SETRANGE', key, 0, pack(QUEUED, priority, flags, crashes, attempt, version,
    version + 1, expires, enter(priority, id)))
end

-- Lets jobs through that wait at a gate, at most `most`, each into its ready stream; returns how
-- many.
local function let_in(gate, most)
  look(gate)
  local count = 0
  while count < most and gate.parked > 0 and room(gate) > 0 do
    local id = redis.call('ZPOPMIN', parked_key(gate))[1]
    gate.parked = gate.parked - 1
    redis.call('HDEL', PARKED, id)
    let_through(gate, id)
    count = count + 1
  end
  if count > 0 then
    ring()
  end
  if gate.parked == 0 then
    redis.call('SREM', GATES, gate.name)
  end
  arm(gate)
  return count
end

-- Lets jobs through wherever there is room, at up to 50 gates: what a change of limits leaves to do,
-- and what would be left if ever a step was lost.
local function let_in_anywhere(most)
  for _, name in ipairs(redis.call('SRANDMEMBER', GATES, 50)) do
    if most > 0 then
      most = most - let_in(gate_named(name), most)
    end
  end
end

-- Lets jobs in at the gates whose time has come, at most `most` at each.
ring_gates = function(now, most)
  local names = redis.call('ZRANGEBYSCORE', TIMERS, '-inf', now, 'LIMIT', 0, most)
  for _, name in ipairs(names) do
    redis.call('ZREM', TIMERS, name)
    let_in(gate_named(name), most)
  end
end

-- Lets go of what a job has passed, from the n-th of its gates on; the gates it held. `ran`: so it
-- has no claim on a rate any more.
local function vacate(id, passed, n, ran)
  local left = {}
  for i = n, #passed do
    local gate = passed[i]
    if gate and not (ran and gate.rate) and redis.call('SREM', running_key(gate), id) == 1 then
      if gate.running then
        gate.running = gate.running - 1
      end
      left[#left + 1] = gate
    end
  end
  return left
end

-- Lets others in where a job has left.
local function follow(left)
  for _, gate in ipairs(left) do
    let_in(gate, 10)  -- more than the one there is room for, since some may have expired
  end
end

leave_gates = function(id, raw, ran)
  local passed = gates_for(raw)
  if passed ~= NONE then
    follow(vacate(id, passed, 1, ran))
  end
end

-- Whether a job has passed a gate before or passes it now. A rate is only asked: it is paid, or
-- kept for the job, once it is known whether the job starts.
local function passes(gate, id, asked)
  look(gate)
  if gate.bound == math.huge or (gate.parked == 0 and room(gate) > 0) then
    if gate.rate then
      asked[#asked + 1] = gate
    else
      gate.running = gate.running + redis.call('SADD', running_key(gate), id)
    end
    return true
  end
  if redis.call('SISMEMBER', running_key(gate), id) == 0 then
    return false
  end
  if gate.rate then
    asked[#asked + 1] = gate
  end
  return true
end

-- Counts starts against a rate.
local function spend(gate, count)
  if gate.interval then
    local now = now_us()
    gate.on_time = math.max(gate.on_time, now) + count * gate.interval
    redis.call('SET', rate_key(gate), string.format('%.0f', gate.on_time), 'PX',
      math.ceil((gate.on_time - now) / 1000) + 1000)
  end
end

-- Has a job wait at a closed gate. Its header is that of a queued job whose entry was read.
local function park(id, raw, gate)
  local _, priority, flags, crashes, attempt, version, _, expires = struct.unpack(FORMAT, raw)
  append('job.blocked', id, version + 1, '{"on":"' .. told(gate) .. '"}')
  redis.call('SETRANGE', job_key(id), 0, pack(BLOCKED, priority, flags, crashes, attempt,
    version + 1, 0, expires, ''))
  redis.call('ZADD', parked_key(gate), priority * 2 ^ 48 + seq, id)
  redis.call('HSET', PARKED, id, gate.name)
  gate.parked = gate.parked + 1
  if gate.parked == 1 then
    redis.call('SADD', GATES, gate.name)
  end
  arm(gate)
end

-- Takes a job through its gates, or parks it at the first that is closed; returns whether it may
-- start. A job that ran before may hold gates behind the one it waits at: kept, somebody who waits
-- there could hold what this one waits for.
local function pass_gates(id, raw)
  local all = gates_for(raw)
  if all == NONE then
    return true
  end
  local asked, closed = {}, nil
  for i, gate in ipairs(all) do
    if gate and not passes(gate, id, asked) then
      closed = i
      break
    end
  end
  if not closed then
    for _, gate in ipairs(asked) do
      gate.running = gate.running - redis.call('SREM', running_key(gate), id)
      spend(gate, 1)
      arm(gate)
    end
    return true
  end
  for _, gate in ipairs(asked) do
    gate.running = gate.running + redis.call('SADD', running_key(gate), id)
  end
  park(id, raw, all[closed])
  follow(vacate(id, all, closed + 1))
  return false
end
