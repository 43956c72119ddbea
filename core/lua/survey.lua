#!lua flags=no-writes
-- Looks through the ready entries for jobs that could run twice at once, and for leases that expired
-- long ago and that nobody took back.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  cursor: '' to begin, then what was replied
-- ARGV[2]  how many entries at most
-- ARGV[3]  ms for which a lease was not renewed
--
-- Replies  {next cursor ('': all was looked through), jobs with another entry than their hot state
--          tells, jobs whose leases were not renewed for so long}
-- Appends  nothing
--@include header
--@include log
--@include ending
--@include waiting
open_log()

local lane, after = string.match(ARGV[1], '(%d):(.*)')
lane = lane or string.sub(lanes, 1, 1)
after = after ~= '' and after or nil
if lane == '' then
  return {'', {}, {}}
end
local stream = ready_key(lane)
local entries = redis.call('XRANGE', stream, after and '(' .. after or '-', '+', 'COUNT', ARGV[2])
local twice, overdue = {}, {}
for _, one in ipairs(entries) do
  local id = one[2][2]
  local raw = redis.call('GETRANGE', job_key(id), 0, 52)
  if #raw == 53 then
    local _, _, _, _, _, _, _, _, entry = struct.unpack(FORMAT, raw)
    if entry ~= one[1] then
      twice[#twice + 1] = id
    end
  end
end
if not after then
  local pending = redis.pcall('XPENDING', stream, GROUP, 'IDLE', ARGV[3], '-', '+', 100)
  for _, lost in ipairs(pending.err and {} or pending) do
    local one = redis.call('XRANGE', stream, lost[1], lost[1])[1]
    if one then
      overdue[#overdue + 1] = one[2][2]
    end
  end
end
local cursor = ''
if #entries == tonumber(ARGV[2]) then
  cursor = lane .. ':' .. entries[#entries][1]
else
  local following = string.match(lanes, lane .. '(%d)')
  cursor = following and following .. ':' or ''
end
return {cursor, twice, overdue}
