#!lua flags=allow-oom
-- Halts a partition whose log is gone or has gone back: from now on every verb answers LOGLOST, until
-- `restore` has brought it to where the archive ends.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  why
--
-- Replies  1 halted, 0 it was so already
local meta = KEYS[1] .. ':meta'
if redis.call('HGET', meta, 'mode') == 'lost' then
  return 0
end
redis.call('HSET', meta, 'mode', 'lost', 'lost', ARGV[1])
return 1
