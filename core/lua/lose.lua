#!lua flags=allow-oom
-- Says of workers that they are gone without a word: each once, however many say so. What they
-- held is not touched, see `reap`.
--
-- KEYS[1]  partition prefix
-- ARGV     names of workers (safe inside JSON)
--
-- Replies  one per worker: 1 said · 0 it does not serve this partition: it left, or was said lost
--          LOGLOST …   the log is gone
-- Appends  worker.lost
--@include header
--@include log
--@include ending
--@include waiting
local fault = open_log()
if fault then return fault end

local before = seq
local replies = {}
for i, worker in ipairs(ARGV) do
  replies[i] = redis.call('SREM', SERVING, worker)
  if replies[i] == 1 then
    append('worker.lost', '', 0, '{"worker":"' .. worker .. '"}')
    for priority in string.gmatch(lanes, '.') do
      dismiss(priority, worker)
    end
  end
end
if seq > before then
  close_log()
end
return replies
