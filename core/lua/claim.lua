#!lua flags=allow-oom
-- Gives a worker jobs to run: promotes what is due, then takes from the ready streams, priority 0
-- first or, with aging, the oldest first. The job's hot state is not written: its pending ready
-- entry is the lease. A job over a limit waits at a gate instead (see gates).
--
-- KEYS[1]  partition prefix
-- ARGV[1]  worker (the consumer's name; safe inside JSON)
-- ARGV[2]  how many at most
-- ARGV[3]  '1': give what this worker holds already (after a lost reply); starts nothing new
--
-- A paused queue gives nothing but what is held; its due jobs are promoted all the same.
--
-- Replies  {now, next due (0: none), ids, hot states as they were before, epoch}: all times ms since
--          1970; as many as asked for: there may be more
--          LOGLOST …   the log is gone
--          NOGROUP …   a consumer group is gone: `mend` makes it again
-- Appends  job.queued{due|retry|limit} · job.failed{expired} · job.blocked{on} ·
--          job.started{attempt, worker}
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
--@include order
local fault = open_log()
if fault then return fault end

local worker, limit, held = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local before = seq
local now = now_ms()
local most, rate = limit, nil
if not held then
  promote(now, limit)
  if mode == 'paused' then
    most = 0
  elseif limited then
    most, rate = quota(limit)
  end
end

local ids, states, gone = {}, {}, {}
local parked, parked_most = 0, 2 * limit + 100
local tail = ',"worker":"' .. worker .. '"}'

-- Starts what was read from one lane; what has no hot state or has expired is dropped.
local function start(priority, entries)
  local keys = {}
  for i = 1, #entries do
    -- A pending entry that was deleted has no fields any more.
    keys[i] = job_key(entries[i][2] and entries[i][2][2] or '')
  end
  local raws = redis.call('MGET', unpack(keys))
  for i = 1, #entries do
    local entry, raw = entries[i][1], raws[i]
    local id = raw and entries[i][2][2]
    local keep = false
    if raw then
      local _, _, flags, _, attempt, version, _, expires = struct.unpack(FORMAT, raw)
      if held then
        keep = true
      elseif expires > 0 and expires <= now then
        append('job.failed', id, version + 1, '{"reason":"expired"}')
        conclude(id, flags, version + 1, raw)
      elseif limited and not pass_gates(id, raw) then
        parked = parked + 1
      else
        append('job.started', id, version + 1, '{"attempt":' .. (attempt + 1) .. tail)
        keep = true
      end
    end
    if keep then
      ids[#ids + 1] = id
      states[#states + 1] = raw
    else
      gone[priority] = gone[priority] or {}
      table.insert(gone[priority], entry)
    end
  end
end

local lost  -- the error of a stream without its group

-- Reads up to `wanted` entries of one lane after `from`; returns the last one's id, nil if there are
-- no more.
local function read(priority, wanted, from)
  wanted = math.min(wanted, 1000)
  local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', wanted, 'STREAMS',
    ready_key(priority), from)
  if reply and reply.err then
    lost = reply.err
    return nil
  end
  local entries = reply and reply[1][2] or {}
  if #entries == 0 then
    return nil
  end
  local last = entries[#entries][1]
  start(priority, entries)
  if not held then
    redis.call('HSET', META, 'delivered:' .. priority, last)
  end
  return #entries == wanted and last or nil
end

local function wanting()
  return #ids < most and parked < parked_most and not lost
end

local aging = limited and not held and tonumber(redis.call('HGET', LIMITS, 'aging'))
if aging then
  while wanting() do
    local priority, count = oldest_first(aging, most - #ids)
    if not priority then break end
    read(priority, count, '>')
  end
else
  for priority in string.gmatch(lanes, '.') do
    -- A lane may hold entries to drop, so it is asked until it gives nothing or all slots are full.
    local from = held and '0' or '>'
    while from and wanting() do
      local last = read(priority, most - #ids, from)
      from = last and (held and last or '>')
    end
  end
end
leave(gone)
bury()
local again = next_due()
if rate then
  spend(rate, #ids)
  if #ids == most and rate.interval and room(rate) < 1 and any_waiting() then
    again = sooner(again, room_at(rate))
  end
end
if seq > before then
  close_log()
end
if lost then
  return redis.error_reply(lost)
end
if not held and (#ids == limit or parked >= parked_most) then
  -- Who leaves a backlog behind rings for the next one.
  ring()
end
return {now, again, ids, states, epoch}
