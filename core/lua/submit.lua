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
--          due times already past
--@include header
--@include log
--@include ending
--@include waiting
--@include accepting
--@include gates
--@include unique
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
for first = 1, #keys, 5000 do
  local last = math.min(first + 4999, #keys)
  if redis.call('EXISTS', unpack(keys, first, last)) > 0 then
    for i = first, last do
      if redis.call('EXISTS', keys[i]) == 1 then
        return redis.error_reply('IDTAKEN ' .. ARGV[4 + (i - 1) * 5])
      end
    end
  end
end
local locks = {}
for i = last_arg + 1, #ARGV, 5 do
  local k = tonumber(ARGV[i])
  locks[k] = locks[k] or {}
  table.insert(locks[k], {digest = ARGV[i + 1], scope = ARGV[i + 2], ms = ARGV[i + 3],
    replace = ARGV[i + 4] == 'replace'})
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

local k = 0
for i = 4, last_arg, 5 do
  local id, flags = ARGV[i], 0
  k = k + 1
  if locks[k] then
    flags = admit(k, id)
  end
  if flags then
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
if past and promote(now, #keys) > 0 then
  any_ready = true
end
close_log()
redis.call('SET', once, epoch .. ':' .. first_seq .. ':' .. duplicates, 'PX', ARGV[2])
if any_ready then
  ring()
end
return {epoch, first_seq, 0, duplicates}
