#!lua flags=allow-oom
-- Cancels jobs of a queue that wait, a part of them in each call; running ones stay. First those
-- that wait for a time, then those that wait for a limit, then those that wait for other jobs, then
-- those that may run and did when that last part began: jobs that come meanwhile are not waited for,
-- so a purge ends on a busy queue as well.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  body {actor, reason} of the events of jobs
-- ARGV[2]  '' to begin, then the cursor of the last reply
-- ARGV[3]  how many jobs to look at, about
-- ARGV[4]  states wanted, with commas: scheduled,queued,blocked,retrying
-- ARGV[5]  '1': only count those that wait for a time (`inspect` knows how many may run)
--
-- Replies  {cursor, cancelled or counted}; the cursor is '' when the purge is over
--          LOGLOST …   the log is gone
--          INVALID …   a cursor that none of its replies gave: nothing was done
-- Appends  job.cancelled each; then queue.purged{count} if there were any
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
local fault = open_log()
if fault then return fault end

local limit = math.min(tonumber(ARGV[3]), 1000)
local wanted = {}
for state in string.gmatch(ARGV[4], '[^,]+') do
  wanted[state] = true
end
local dry = ARGV[5] == '1'
local kind, from = string.match(ARGV[2] == '' and 'due:0' or ARGV[2], '^(%l+):(%d+)$')
if kind ~= 'due' and kind ~= 'parked' and kind ~= 'dependent' and kind ~= 'ready' then
  return redis.error_reply('INVALID cursor: ' .. ARGV[2])
end
local before = seq
local gone, count = {}, 0

local function head(id)
  return redis.call('GETRANGE', job_key(id), 0, HEAD)
end

local function cancel(id, raw)
  count = count + 1
  if dry then return end
  local state, priority, flags, _, _, version, fence, _, entry = struct.unpack(FORMAT, raw)
  append('job.cancelled', id, version + 1, ARGV[1])
  withdraw(id, state, priority, fence, entry, gone)
  conclude(id, flags, version + 1, raw)
end

-- A part of those that wait for a time; the next cursor.
local function purge_due()
  local reply = redis.call('ZSCAN', DUE, from, 'COUNT', limit)
  for i = 1, #reply[2], 2 do
    local id = reply[2][i]
    local raw = not over[id] and head(id) or ''
    if raw ~= '' then
      local name = struct.unpack(FORMAT, raw) == RETRYING and 'retrying' or 'scheduled'
      if wanted[name] then
        cancel(id, raw)
      end
    end
  end
  return reply[1] ~= '0' and 'due:' .. reply[1]
end

-- A part of those that wait for a limit; the next cursor.
local function purge_parked()
  local reply = redis.call('HSCAN', PARKED, from, 'COUNT', limit)
  for i = 1, #reply[2], 2 do
    local id = reply[2][i]
    local raw = not over[id] and head(id) or ''
    -- Cancelling one may have let another in that was found here.
    if raw ~= '' and struct.unpack(FORMAT, raw) == BLOCKED then
      cancel(id, raw)
    end
  end
  return reply[1] ~= '0' and 'parked:' .. reply[1]
end

-- A part of those that wait for other jobs; the next cursor.
local function purge_dependents()
  local reply = redis.call('ZSCAN', DEPENDENTS, from, 'COUNT', limit)
  for i = 1, #reply[2], 2 do
    local id = reply[2][i]
    local raw = not over[id] and head(id) or ''
    if raw ~= '' and struct.unpack(FORMAT, raw) == DEPENDENT then
      cancel(id, raw)
    end
  end
  return reply[1] ~= '0' and 'dependent:' .. reply[1]
end

-- A part of those that may run and did at `from` (ms); the next cursor.
local function purge_ready()
  local left = limit
  for priority in string.gmatch(lanes, '.') do
    local last = redis.call('HGET', META, 'delivered:' .. priority) or '0-0'
    local found = redis.call('XRANGE', ready_key(priority), '(' .. last, from, 'COUNT', left)
    for _, entry in ipairs(found) do
      local id = entry[2][2]
      local raw = head(id)
      if raw ~= '' then
        cancel(id, raw)
      else
        note(gone, priority, entry[1])
      end
    end
    left = left - #found
    if left == 0 then
      return 'ready:' .. from
    end
  end
end

local cursor
if kind == 'due' and (wanted.scheduled or wanted.retrying) then
  cursor = purge_due()
end
if kind == 'due' and not cursor and wanted.blocked then
  kind, from = 'parked', '0'
end
if kind == 'parked' then
  cursor = purge_parked()
  if not cursor then
    kind, from = 'dependent', '0'
  end
end
if kind == 'dependent' then
  cursor = purge_dependents()
end
if kind == 'ready' then
  cursor = purge_ready()
elseif not cursor and wanted.queued and not dry then
  cursor = 'ready:' .. string.format('%.0f', now_ms())
end
leave(gone)
bury()
if count > 0 and not dry then
  append('queue.purged', '', 0, string.sub(ARGV[1], 1, -2) .. (ARGV[1] == '{}' and '' or ',')
    .. '"count":' .. count .. '}')
  close_log()
end
return {cursor or '', count}
