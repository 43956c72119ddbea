#!lua flags=allow-oom
-- Extends leases, and tells which jobs are to stop.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  worker
-- ARGV[2…] per lease: id, fence
--
-- Replies  one per lease: 1 renewed · 2 renewed, cancellation was requested · 0 lost: the job has
--          ended or another lease has begun
--          LOGLOST …   the log is gone
--          NOGROUP …   a consumer group is gone: `mend` makes it again
-- Appends  nothing
--@include header
--@include log
--@include ending
--@include waiting
local fault = open_log()
if fault then return fault end

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
