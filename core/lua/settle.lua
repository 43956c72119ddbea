#!lua flags=allow-oom
-- Takes entries from the outbox of a queue: those whom they concern were told.
--
-- KEYS[1]  partition prefix
-- ARGV     ids of entries
--
-- Replies  how many there were
-- Appends  nothing
--@include log
--@include ending
local OUTBOX_GROUP = 'joiners'
redis.pcall('XACK', OUTBOX, OUTBOX_GROUP, unpack(ARGV))
return redis.call('XDEL', OUTBOX, unpack(ARGV))
