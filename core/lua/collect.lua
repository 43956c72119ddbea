#!lua flags=allow-oom
-- Gives what the outbox of a queue holds: how jobs ended that others wait for. What was given stays
-- pending until it is settled, and is given again after a while to whoever asks for that.
--
-- An entry that names nobody is of jobs that left very many (see send_left): some 5,000 of those get
-- entries of their own here, and what is left of them a new one like it, in one step. It is never given.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  how many entries at most
-- ARGV[2]  0, or: also what was given so many ms ago and is not settled
--
-- Replies  per entry: its id, jobs that ended, each with its outcome, and who waits for them (all with
--          spaces between)
-- Appends  nothing
--@include header
--@include log
--@include ending
local JOINERS, JOINER = 'joiners', 'joiner'
local limit = tonumber(ARGV[1])
if redis.call('EXISTS', OUTBOX) == 0 then
  return {}
end

local replies = {}
local many = {}  -- jobs that left very many, and are named in entries that were read
local function give(entries)
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    if fields and fields[4] == '' then
      for id in string.gmatch(fields[2], '(%S+) left') do
        many[#many + 1] = id
      end
      redis.call('XACK', OUTBOX, JOINERS, entry[1])
      redis.call('XDEL', OUTBOX, entry[1])
    elseif fields then
      replies[#replies + 1] = {entry[1], fields[2], fields[4]}
    end
  end
end

local function read()
  if ARGV[2] ~= '0' then
    local reply = redis.pcall('XAUTOCLAIM', OUTBOX, JOINERS, JOINER, ARGV[2], '0-0', 'COUNT', limit)
    if reply.err then
      return false
    end
    give(reply[2])
  end
  if #replies < limit then
    local reply = redis.pcall('XREADGROUP', 'GROUP', JOINERS, JOINER, 'COUNT', limit - #replies,
      'STREAMS', OUTBOX, '>')
    if reply and reply.err then
      return false
    end
    give(reply and reply[1][2] or {})
  end
  return true
end

if not read() then
  -- The first time, or the group was lost: what is there was not settled.
  redis.call('XGROUP', 'CREATE', OUTBOX, JOINERS, '0')
  read()
end

-- Notes a part of those who are to be told; what is left goes behind them.
local room = 5000
local function name_some()
  local left = {}
  for _, id in ipairs(many) do
    if room > 0 then
      local some = redis.call('SPOP', leaving_key(id), room)
      room = room - #some
      send(some, id .. ' left')
    end
    if redis.call('EXISTS', leaving_key(id)) == 1 then
      left[#left + 1] = id
    end
  end
  many = {}
  bury()
  for _, id in ipairs(left) do
    send_left(id)
  end
  bury()
end

if #many > 0 then
  name_some()
  if #replies < limit then
    read()
    name_some()
  end
end
return replies
