#!lua flags=allow-oom
-- Opens a partition that was restored: from now on its verbs do what they are asked.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  the new epoch
-- ARGV[2]  its mode: '' open · 'paused' · 'draining'
--
-- Replies  the last seq
--          INVALID …   this epoch is not being restored: nothing was done
--@include header
--@include log
--@include ending
--@include waiting
if redis.call('HGET', META, 'restoring') ~= ARGV[1] then
  return redis.error_reply('INVALID epoch ' .. ARGV[1] .. ' of ' .. META .. ' is not being restored')
end
redis.call('HDEL', META, 'restoring', 'lost')
redis.call('HSET', META, 'mode', ARGV[2])
if redis.call('EXISTS', P .. ':limits') == 1 then
  redis.call('HSET', META, 'limited', 1)
end
redis.call('UNLINK', P .. ':lost')
ring()
return tonumber(redis.call('HGET', META, 'seq'))
