#!lua flags=allow-oom
-- Names jobs that have waited for others for long, so that it can be looked into whether those live.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  how long (ms)
-- ARGV[2]  how many jobs at most
-- ARGV[3]  how many of the jobs that each waits for, at most: any of them
-- ARGV[4]  how long it takes to look into them (ms): after that they are named again
-- ARGV[5…] jobs named before that were looked into: each is named again only after as long a time
--
-- Replies  per job: its id, what becomes of it if one of those fails, and those
-- Appends  nothing
--@include header
--@include log
--@include ending
--@include waiting
local now = now_ms()
for i = 5, #ARGV do
  redis.call('ZADD', DEPENDENTS, 'XX', now, ARGV[i])
end
local replies = {}
local ids = redis.call('ZRANGEBYSCORE', DEPENDENTS, '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  redis.call('ZADD', DEPENDENTS, now - ARGV[1] + ARGV[4], id)
  local raw = redis.call('GETRANGE', job_key(id), 0, HEAD)
  local parents = redis.call('SRANDMEMBER', parents_key(id), ARGV[3])
  replies[#replies + 1] = {id, string.match(raw, '"on_parent_failure":"(%l+)"') or 'fail', parents}
end
return replies
