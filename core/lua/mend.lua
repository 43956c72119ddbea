#!lua flags=allow-oom
-- Makes lost consumer groups again, each from the last entry that a claim noted for its lane: what
-- stands behind it waits as before. Who held the entries up to it is lost with the group, so they
-- are entered anew: leases given before are stale, and those jobs run again.
--
-- KEYS[1]  partition prefix
--
-- Replies  how many jobs were taken from their leases
--          LOGLOST …   the log is gone
-- Appends  job.queued{group_lost}, or job.cancelled if that was requested
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
local fault = open_log()
if fault then return fault end

local before = seq
local moved, mended = 0, 0

local function group_exists(stream)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  return not groups.err and #groups > 0
end

local function take_back(id)
  local key = job_key(id)
  local raw = redis.call('GET', key)
  if not raw then
    return
  end
  moved = moved + 1
  local _, priority, flags, crashes, attempt, version, fence, expires = struct.unpack(FORMAT, raw)
  version = math.max(version, fence) + 1
  if flags % 2 == CANCEL then
    append('job.cancelled', id, version, '{}')
    conclude(id, flags, version, raw, true)
    return
  end
  append('job.queued', id, version, '{"cause":"group_lost"}')
  redis.call('SETRANGE', key, 0, pack(QUEUED, priority, flags, crashes, attempt, version,
    version + 1, expires, enter(priority, id)))
end

local gone = {}
for priority in string.gmatch(lanes, '.') do
  local stream = ready_key(priority)
  if not group_exists(stream) then
    mended = mended + 1
    local last = redis.call('HGET', META, 'delivered:' .. priority) or '0-0'
    local kept = redis.call('EXISTS', stream) == 1
    redis.call('XGROUP', 'CREATE', stream, GROUP, last, 'MKSTREAM')
    if not kept then
      -- A new stream must not give ids that `delivered` has passed, were the clock behind.
      redis.call('XSETID', stream, last)
    end
    for _, entry in ipairs(redis.call('XRANGE', stream, '-', last)) do
      gone[priority] = gone[priority] or {}
      table.insert(gone[priority], entry[1])
      take_back(entry[2][2])
    end
  end
end
leave(gone)
bury()
if seq > before then
  close_log()
end
if mended > 0 then
  ring()
end
return moved
