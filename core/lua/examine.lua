#!lua flags=no-writes
-- Tells where jobs stand: each must be where its hot state says it is. Works without a log, too.
--
-- KEYS[1]  partition prefix
-- ARGV     job ids
--
-- Replies  {now, mode, epoch, seq, last entries delivered of all lanes, then per job two: where, at}
--            gone     no hot state
--            astray   it is not where its hot state says: no entry, no due time, no gate
--            ready    waits for a worker, since `at`
--            running  a worker was given it
--            due      waits for the time `at`
--            parked   waits at a gate
--            other    waits for what no queue decides
--          times ms since 1970
-- Appends  nothing
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
open_log()

local reply = {now_ms(), mode, epoch, seq, ''}
for priority in string.gmatch(lanes, '.') do
  reply[5] = reply[5] .. (redis.call('HGET', META, 'delivered:' .. priority) or '') .. ' '
end

local function place(id)
  local raw = redis.call('GETRANGE', job_key(id), 0, 52)
  if #raw < 53 then
    return 'gone', 0
  end
  local state, priority, _, _, _, _, _, _, entry = struct.unpack(FORMAT, raw)
  if state == QUEUED or state == RUNNING then
    if entry == '' or #redis.call('XRANGE', ready_key(priority), entry, entry) == 0 then
      return 'astray', 0
    end
    if started(priority, entry) then
      return 'running', 0
    end
    return 'ready', tonumber(string.sub(entry, 1, 13))
  elseif state == BLOCKED then
    return redis.call('HEXISTS', PARKED, id) == 1 and 'parked' or 'astray', 0
  elseif state == SCHEDULED or state == RETRYING then
    local at = redis.call('ZSCORE', DUE, id)
    return at and 'due' or 'astray', tonumber(at or 0)
  end
  return 'other', 0
end

for _, id in ipairs(ARGV) do
  local where, at = place(id)
  reply[#reply + 1] = where
  reply[#reply + 1] = at
end
return reply
