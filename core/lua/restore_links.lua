#!lua
-- Has jobs of a partition that is being restored tell those that wait for them, in whatever queue; and
-- puts into its outbox how those ended that have, for whoever waits may not have been told.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  the new epoch
-- ARGV[2…] per link: the job that is waited for, who waits, '*' or '' (see awaited_key), how the first
--          ended (see join) or '' (it lives here), 1 if it is a job of here, else 0
--
-- Replies  how many entries the outbox has
--          INVALID …   this epoch is not being restored: nothing was done
-- Appends  nothing
--@include header
--@include log
--@include ending
if redis.call('HGET', META, 'restoring') ~= ARGV[1] then
  return redis.error_reply('INVALID epoch ' .. ARGV[1] .. ' of ' .. META .. ' is not being restored')
end
for i = 2, #ARGV, 5 do
  local parent, dependent, mark, outcome = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if outcome ~= '' then
    send({dependent}, parent .. ' ' .. outcome)
  else
    local key = job_key(parent)
    local _, _, flags = struct.unpack(FORMAT, redis.call('GETRANGE', key, 0, 52))
    redis.call('SETRANGE', key, 2, string.char(bit.bor(flags, AWAITED)))
  end
  local again = outcome == 'failed' or outcome == 'cancelled'  -- it may be run again
  if outcome == '' or (mark == '*' and again and ARGV[i + 4] == '1') then
    redis.call('SADD', awaited_key(parent), dependent .. mark)
  end
end
bury()
return redis.call('XLEN', OUTBOX)
