#!lua flags=allow-oom
-- Takes back leases that were not renewed: the job is queued under a new entry, which makes the
-- old lease stale by itself; one that has crashed too often fails as poison.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  lease (ms): pending longer than this without renewal is expired
-- ARGV[2]  crashes that make a job poison
-- ARGV[3]  how many at most in each lane
-- ARGV[4]  after so long (ms) without a sweep nobody could renew leases either; 0: they could
--
-- Replies  {reaped, more}: more = 1 if a lane had as many as were asked for
--          LOGLOST …, NOGROUP …
-- Appends  job.lease_expired{worker, crashes}, then job.cancelled if that was requested, or
--          job.failed{poison}
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
local fault = open_log()
if fault then return fault end

local lease, budget, limit, away = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local before = seq
local now = now_ms()
local MOST_QUIETS = 3

-- Whether leases are left alone. While nobody swept, the server was away, or stood still, or its
-- clock was set: nor could anybody renew. So whoever held a lease then is given one more, from now
-- on. A few times in a row at most: of workers that come only now and then, one must take them back.
local function quiet()
  local known = redis.call('HMGET', META, 'swept', 'quiet', 'quiets')
  local swept, until_ms, times = tonumber(known[1]), tonumber(known[2] or 0), tonumber(known[3] or 0)
  local missed = not swept or now - swept > away
  if missed or swept > now or now - swept > away / 4 then
    redis.call('HSET', META, 'swept', now)  -- not with each sweep: there are many
  end
  if missed and times < MOST_QUIETS then
    redis.call('HSET', META, 'quiet', string.format('%.0f', now + lease), 'quiets', times + 1)
    return true
  end
  if until_ms > now and until_ms <= now + lease then
    return true
  end
  if times > 0 then
    redis.call('HDEL', META, 'quiet', 'quiets')
  end
  return false
end
if away > 0 and quiet() then
  return {0, 0}
end
local gone, reaped, more = {}, 0, 0
local losers = {}

-- One expired lease: decides what becomes of the job.
local function expire(id, key, raw, worker)
  local _, priority, flags, crashes, attempt, version, fence, expires = struct.unpack(FORMAT, raw)
  version = math.max(version, fence) + 1
  crashes = math.min(crashes + 1, 65535)
  append('job.lease_expired', id, version,
    '{"worker":"' .. worker .. '","crashes":' .. crashes .. '}')
  local last = nil
  if flags % 2 == CANCEL then
    last, version = 'job.cancelled', version + 1
    append(last, id, version, '{}')
  elseif crashes >= budget then
    last, version = 'job.failed', version + 1
    append(last, id, version, '{"reason":"poison"}')
  end
  if last then
    conclude(id, flags, version, raw, true)
    return
  end
  local entry = enter(priority, id)
  redis.call('SETRANGE', key, 0, pack(QUEUED, priority, flags, crashes, attempt, version,
    version + 1, expires, entry))
end

for priority in string.gmatch(lanes, '.') do
  local stream = ready_key(priority)
  local pending = redis.pcall('XPENDING', stream, GROUP, 'IDLE', lease, '-', '+', limit)
  if pending.err then
    if seq > before then close_log() end
    leave(gone)
    bury()
    return redis.error_reply(pending.err)
  end
  for _, lost in ipairs(pending) do
    local entry = redis.call('XRANGE', stream, lost[1], lost[1])[1]
    gone[priority] = gone[priority] or {}
    table.insert(gone[priority], lost[1])
    losers[priority .. lost[2]] = true
    local id = entry and entry[2][2]
    local raw = id and redis.call('GET', job_key(id))
    if raw then
      expire(id, job_key(id), raw, lost[2])
      reaped = reaped + 1
    end
  end
  if #pending == limit then
    more = 1
  end
end
leave(gone)
bury()
for loser in pairs(losers) do
  dismiss(string.sub(loser, 1, 1), string.sub(loser, 2))
end
if seq > before then
  close_log()
  ring()
end
return {reaped, more}
