#!lua flags=allow-oom
-- Makes lost consumer groups again. Who held which entry is lost with a group, so all entries of
-- that lane are entered anew: leases given before are stale, and their jobs run again. Which had
-- been started is known by the last entry a claim noted for the lane.
--
-- KEYS[1]  partition prefix
--
-- Replies  how many jobs were entered anew
--          LOGLOST …   the log is gone
-- Appends  job.queued{group_lost}
--@include header
--@include log
--@include waiting
local fault = open_log()
if fault then return fault end

local before = seq
local moved = 0

local function group_exists(stream)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  return not groups.err and #groups > 0
end

local function parts(entry)
  local ms, n = string.match(entry, '(%d+)-(%d+)')
  return tonumber(ms), tonumber(n)
end

local function enter_anew(id, started)
  local raw = redis.call('GET', job_key(id))
  if not raw then
    return
  end
  local _, priority, flags, crashes, attempt, version, fence, expires = struct.unpack(FORMAT, raw)
  if started then
    version = math.max(version, fence)
  end
  version = version + 1
  append('job.queued', id, version, '{"cause":"group_lost"}')
  local entry = enter(priority, id)
  redis.call('SETRANGE', job_key(id), 0, pack(QUEUED, priority, flags, crashes, attempt, version,
    version + 1, expires, entry))
  moved = moved + 1
end

for priority in string.gmatch(lanes, '.') do
  local stream = ready_key(priority)
  if not group_exists(stream) then
    local entries = redis.call('XRANGE', stream, '-', '+')
    redis.call('DEL', stream)
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
    local last_ms, last_n = parts(redis.call('HGET', META, 'delivered:' .. priority) or '0-0')
    redis.call('HDEL', META, 'delivered:' .. priority)
    for _, entry in ipairs(entries) do
      local ms, n = parts(entry[1])
      enter_anew(entry[2][2], ms < last_ms or (ms == last_ms and n <= last_n))
    end
  end
end
if seq > before then
  close_log()
  ring()
end
return moved
