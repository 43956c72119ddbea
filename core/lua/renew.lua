#!lua flags=allow-oom
-- Extends leases, and tells which jobs are to stop.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  worker
-- ARGV[2…] per lease: id, fence; none: every lease that this worker holds here, those included
--          whose claim it has had no reply to
--
-- Replies  one per lease named: 1 renewed · 2 renewed, cancellation was requested · 0 lost: the job
--          has ended or another lease has begun
--          LOGLOST …   the log is gone
--          NOGROUP …   a consumer group is gone: `mend` makes it again
-- Appends  nothing
--@include header
--@include log
--@include ending
--@include waiting
local fault = open_log()
if fault then return fault end

-- Takes the leases anew that this worker holds in one lane.
local function keep(stream)
  local from = '-'
  repeat
    local pending = redis.call('XPENDING', stream, GROUP, from, '+', 1000, ARGV[1])
    local entries = {}
    for i = 1, #pending do
      entries[i] = pending[i][1]
    end
    if #entries > 0 then
      from = '(' .. entries[#entries]
      entries[#entries + 1] = 'JUSTID'
      redis.call('XCLAIM', stream, GROUP, ARGV[1], 0, unpack(entries))
    end
  until #pending < 1000
end

if #ARGV == 1 then
  for priority in string.gmatch(lanes, '.') do
    keep(ready_key(priority))
  end
  return {}
end

local keys = {}
for i = 2, #ARGV, 2 do
  keys[#keys + 1] = job_key(ARGV[i])
end
local raws = redis.call('MGET', unpack(keys))
local replies, lanes_of, entry_of = {}, {}, {}
for k = 1, #keys do
  replies[k] = 0
  if raws[k] then
    local _, priority, flags, _, _, _, current, _, entry = struct.unpack(FORMAT, raws[k])
    if current == version_of(ARGV[1 + k * 2]) then
      note(lanes_of, priority, entry)
      entry_of[k] = priority .. '/' .. entry
      replies[k] = 1 + flags % 2
    end
  end
end
local held = {}
for priority, entries in pairs(lanes_of) do
  entries[#entries + 1] = 'JUSTID'
  local claimed = redis.call('XCLAIM', ready_key(priority), GROUP, ARGV[1], 0, unpack(entries))
  for _, entry in ipairs(claimed) do
    held[priority .. '/' .. entry] = true
  end
end
for k = 1, #keys do
  if entry_of[k] and not held[entry_of[k]] then
    replies[k] = 0
  end
end
return replies
