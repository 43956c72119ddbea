#!lua
-- Accepts jobs: all of them, or none. One whose lock is taken is not made: it is a duplicate of the
-- job that holds the lock, which may be given its spec instead.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  command id: the same one again gives the first reply again, and does nothing
-- ARGV[2]  how long the command id is kept (ms)
-- ARGV[3]  how many jobs
-- ARGV[4…] per job: id, priority, due, expires, body
--          due: '0' now · '+N' in N ms · 'N' at N ms since 1970;  expires: ms since 1970, 0 never
--          body: of job.submitted, kept as the job's spec
-- then     per lock: its job (from 1), digest, scope, ms, policy; those of a job one after another
--          scope   waiting, unfinished: while its job does so · period: for so many ms
--          policy  keep · replace: a waiting job that holds the lock is given the new spec
-- and, in the same form, whom jobs wait for and who waits for them:
--          a job, the id of a parent, after, '' or how that one ended (see join) or ? (it does not
--          live: that is to be found out soon, see overdue), ''
--          a job, '', open, '', '': there may be more parents to come, see extend
--          a job, who waits for it (with a `*` behind, see awaited_key), before, '', ''
--
-- Replies  {epoch, first seq, again, duplicates}: the jobs made have seq `first`, `first` + 1 and so
--          on in their order; again: 1 if seen before; duplicates: '' or a line for each,
--          "job (from 0) id epoch seq state": the job it is one of, where that one's spec stands,
--          and its state (see header; 0: it has ended)
--          LOGLOST …     the log is gone
--          IDTAKEN id    a job of that id lives here, or it is there twice: nothing was accepted
--          INVALID …     a due that is no time: nothing was accepted
--          DRAINING …    the queue takes no jobs: nothing was accepted
--          OOM …         memory is full: nothing was accepted
-- Appends  job.submitted (one for each job made, in order); job.replaced; then job.queued{due} for
--          due times already past, and as join for those whose parents have ended
--@include header
--@include log
--@include ending
--@include waiting
--@include accepting
--@include gates
--@include unique
--@include joining
local fault = open_log()
if fault then return fault end

local once = P .. ':once:' .. ARGV[1]
local seen = redis.call('GET', once)
if seen then
  -- A write: who waits for replicas or for the disk after this call waits for the first one too.
  redis.call('PEXPIRE', once, ARGV[2])
  local known_epoch, first, duplicates = string.match(seen, '^(%d+):(%d+):?(.*)$')
  return {known_epoch, tonumber(first), 1, duplicates}
end
local refused = refuse_draining()
if refused then return refused end
local now = now_ms()
local keys, dues, known = {}, {}, {}
local last_arg = 3 + tonumber(ARGV[3]) * 5
for i = 4, last_arg, 5 do
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
local function of(all, k)
  all[k] = all[k] or {}
  return all[k]
end

local locks, parents, known_ends, unsure, dependents = {}, {}, {}, {}, {}
for i = last_arg + 1, #ARGV, 5 do
  local k, what, kind = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
  if kind == 'after' then
    table.insert(of(parents, k), what)
    if ARGV[i + 3] == '?' then
      unsure[k] = true
    elseif ARGV[i + 3] ~= '' then
      table.insert(of(known_ends, k), what)
      table.insert(of(known_ends, k), ARGV[i + 3])
    end
  elseif kind == 'open' then
    table.insert(of(parents, k), OPEN)
  elseif kind == 'before' then
    table.insert(of(dependents, k), what)
  else
    table.insert(of(locks, k), {digest = what, scope = kind, ms = ARGV[i + 3],
      replace = ARGV[i + 4] == 'replace'})
  end
end

-- Whether a request of the same key made this very job before.
local function is_again(k)
  local id = ARGV[4 + (k - 1) * 5]
  for _, lock in ipairs(locks[k] or {}) do
    if lock.scope == 'period'
      and string.sub(redis.call('GET', unique_key(lock.digest)) or '', 1, #id + 1) == id .. ':' then
      return true
    end
  end
  return false
end
for first = 1, #keys, 5000 do
  local last = math.min(first + 4999, #keys)
  if redis.call('EXISTS', unpack(keys, first, last)) > 0 then
    for i = first, last do
      if redis.call('EXISTS', keys[i]) == 1 and not is_again(i) then
        return redis.error_reply('IDTAKEN ' .. ARGV[4 + (i - 1) * 5])
      end
    end
  end
end

local first_seq = seq + 1
local any_ready, past = false, false
local twins, freed = {}, {}

-- Takes the locks of job k, or notes the first one that is taken; the flags of the job if it is
-- to be made, else nil.
local function admit(k, id)
  for n, lock in ipairs(locks[k]) do
    if holder_of(lock) then
      twins[#twins + 1] = {k = k, n = n}
      return nil
    end
  end
  local flags = 0
  for _, lock in ipairs(locks[k]) do
    take_lock(lock, id .. ':' .. epoch .. ':' .. (seq + 1))
    if lock.scope ~= 'period' then
      flags = LOCKED
    end
  end
  return flags
end

-- What becomes of a job whose lock was taken, once all others are made; the line that tells it.
local function settle(k, n)
  local lock, at, i = locks[k][n], dues[k], 4 + (k - 1) * 5
  local held, raw = holder_of(lock)
  local id = string.match(held, '^[^:]*')
  local job = lock.replace and raw and waits(raw)
  if job then
    for _, gate in ipairs(replace(id, job, at, ARGV[i + 1], ARGV[i + 3], ARGV[i + 4])) do
      freed[#freed + 1] = gate
    end
    past = past or (at and at <= now)
    held = id .. ':' .. epoch .. ':' .. seq
    raw = header_of(id)
    redis.call('SET', unique_key(lock.digest), held, 'KEEPTTL')
  end
  for other = 1, n - 1 do
    take_lock(locks[k][other], held)
  end
  return (k - 1) .. ' ' .. string.gsub(held, ':', ' ') .. ' ' .. state_of(raw)
end

-- Takes in a job that waits for others, or for itself to be complete; `due` as it was given.
local function accept_dependent(k, id, priority, flags, due, expires, body)
  append('job.submitted', id, 1, body)
  redis.call('SET', job_key(id), pack(DEPENDENT, priority, flags, 0, 0, 1, 0, expires,
    due ~= '0' and due or '') .. body)
  redis.call('ZADD', DEPENDENTS, unsure[k] and 0 or now, id)
  add_all(parents_key(id), parents[k])
end

-- Lets those go on at once whose parents have ended by now.
local function hear_at_once(k, id)
  local found = known_ends[k] or {}
  for _, value in ipairs(redis.call('HGETALL', early_key(id))) do
    found[#found + 1] = value
  end
  if redis.call('SISMEMBER', parents_key(id), OPEN) == 1 then
    redis.call('PERSIST', early_key(id))
  else
    redis.call('UNLINK', early_key(id))
  end
  local raw = redis.call('GETRANGE', job_key(id), 0, HEAD)
  if #found > 0 and struct.unpack(FORMAT, raw) == DEPENDENT then  -- or it was replaced at once
    hear(id, raw, found)
  end
end

local k, waiting = 0, {}
for i = 4, last_arg, 5 do
  local id, flags = ARGV[i], 0
  k = k + 1
  if locks[k] then
    flags = admit(k, id)
  end
  if flags and dependents[k] then
    flags = bit.bor(flags, AWAITED)
    add_all(awaited_key(id), dependents[k])
  end
  if flags and parents[k] then
    accept_dependent(k, id, ARGV[i + 1], flags, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
    waiting[#waiting + 1] = k
  elseif flags then
    local at = dues[k]
    accept(id, ARGV[i + 1], flags, at, ARGV[i + 3], ARGV[i + 4])
    if at then
      past = past or at <= now
    else
      any_ready = true
    end
  end
end
local lines = {}
for i, twin in ipairs(twins) do
  lines[i] = settle(twin.k, twin.n)
end
local duplicates = table.concat(lines, '\n')
follow(freed)
for _, waiter in ipairs(waiting) do
  hear_at_once(waiter, ARGV[4 + (waiter - 1) * 5])
end
bury()
if joined > 0 then
  any_ready = true
end
if past and promote(now, #keys) > 0 then
  any_ready = true
end
close_log()
redis.call('SET', once, epoch .. ':' .. first_seq .. ':' .. duplicates, 'PX', ARGV[2])
if any_ready then
  ring()
end
return {epoch, first_seq, 0, duplicates}
