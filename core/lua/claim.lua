#!lua flags=allow-oom
-- Gives a worker jobs to run: promotes what is due, then takes from the ready streams, priority 0
-- first. The job's hot state is not written: its pending ready entry is the lease.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  worker (the consumer's name; safe inside JSON)
-- ARGV[2]  how many at most
-- ARGV[3]  '1': give what this worker holds already (after a lost reply); starts nothing new
--
-- A paused queue gives nothing but what is held; its due jobs are promoted all the same.
--
-- Replies  {now, next due (0: none), ids, hot states as they were before}: all times ms since
--          1970; as many as asked for: there may be more
--          LOGLOST …   the log is gone
--          NOGROUP …   a consumer group is gone: `mend` makes it again
-- Appends  job.queued{due|retry} · job.failed{expired} · job.started{attempt, worker}
--@include header
--@include log
--@include ending
--@include waiting
local fault = open_log()
if fault then return fault end

local worker, limit, held = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local before = seq
local now = now_ms()
if not held then
  promote(now, limit)
end

local ids, states, gone = {}, {}, {}
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
        conclude(id, flags, version + 1)
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

local open = held or mode ~= 'paused'
for priority in string.gmatch(open and lanes or '', '.') do
  -- A lane may hold entries to drop, so it is asked until it gives nothing or all slots are full.
  local from = held and '0' or '>'
  while #ids < limit do
    local wanted = math.min(limit - #ids, 1000)
    local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', wanted, 'STREAMS',
      ready_key(priority), from)
    if reply and reply.err then
      if seq > before then close_log() end
      leave(gone)
      bury()
      return redis.error_reply(reply.err)
    end
    local entries = reply and reply[1][2] or {}
    if #entries > 0 then
      start(priority, entries)
      if held then
        from = entries[#entries][1]
      else
        redis.call('HSET', META, 'delivered:' .. priority, entries[#entries][1])
      end
    end
    if #entries < wanted then break end
  end
end
leave(gone)
bury()
if seq > before then
  close_log()
end
local more = not held and #ids == limit
if more then
  -- Who leaves a backlog behind rings for the next one.
  ring()
end
local next_due = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2] or '0'
return {now, tonumber(next_due), ids, states}
