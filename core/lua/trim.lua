#!lua flags=allow-oom
-- Notes how far the archive is, and cuts off the old end of the log, but nothing that is not
-- archived.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  seq up to which events are archived; a lower one than before changes nothing
-- ARGV[2]  epoch of those
-- ARGV[3]  stream id: older entries may go; '' to cut nothing
--
-- Replies  how many entries were cut off; -1 if the log is at another epoch
--          LOGLOST …   the log is gone, or ends before what is archived: it has gone back
--          INVALID …   entries before that id are not archived: nothing was cut off
--@include log
local fault = open_log()
if fault then return fault end

if epoch ~= ARGV[2] then
  return -1
end
local archived = math.max(tonumber(ARGV[1]), tonumber(redis.call('HGET', META, 'archived') or 0))
if archived > seq then
  return redis.error_reply('LOGLOST the log ' .. LOG .. ' has gone back to seq ' .. seq
    .. ' of epoch ' .. epoch .. ', archived is seq ' .. archived)
end
redis.call('HSET', META, 'archived', archived)
-- Of these jobs the tables have the last end by now (see remember). Who read them before may come yet.
local told = redis.call('ZRANGEBYSCORE', P .. ':gone', '-inf', archived, 'LIMIT', 0, 1000)
if #told > 0 then
  for _, id in ipairs(told) do
    redis.call('PEXPIRE', P .. ':gone:' .. id, 3600000)
  end
  redis.call('ZREM', P .. ':gone', unpack(told))
end
if ARGV[3] == '' then
  return 0
end
local kept = redis.call('XRANGE', LOG, ARGV[3], '+', 'COUNT', 1)[1]
local first = kept and tonumber(kept[2][2]) or seq + 1
if first > archived + 1 then
  return redis.error_reply('INVALID trim to seq ' .. first .. ', archived is seq ' .. archived)
end
return redis.call('XTRIM', LOG, 'MINID', '~', ARGV[3])
