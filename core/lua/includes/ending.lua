-- What a job leaves behind when it ends. Needs header and log.
local over, over_keys = {}, {}
local news = {}  -- ids (with spaces between) → what is to be told to these jobs: "id outcome" each
local notices = 0  -- how often something was noted for the outbox
local unpark, leave_gates, ring_gates  -- of gates
local OUTBOX = P .. ':ended'

local function unique_key(digest)
  return P .. ':unique:' .. digest
end

-- Where the steps of a job are kept until it ends: a hash, step → body of its job.checkpointed.
local function steps_key(id)
  return P .. ':steps:' .. id
end

-- Frees the lock that a job holds; another job may hold it by now.
local function unlock(id)
  -- Its digest is among the first fields of the spec, each of which is short.
  local spec = redis.call('GETRANGE', job_key(id), 53, HEAD)
  local digest = string.match(spec, '"lock":"(%x+)"')
  local key = digest and unique_key(digest)
  local holder = key and redis.call('GET', key)
  if holder and string.sub(holder, 1, #id + 1) == id .. ':' then
    redis.call('UNLINK', key)
  end
end

-- Who waits for a job, in whatever queue: a set of ids, with a `*` behind those that go on to wait when
-- it does not succeed, for it may be run again.
local function awaited_key(id)
  return P .. ':awaited:' .. id
end

-- Notes for the outbox what is to be told to these jobs: `bury` puts there what has come together, from
-- where it is brought to them.
local function send(ids, text)
  for first = 1, #ids, 100 do
    local them = table.concat(ids, ' ', first, math.min(first + 99, #ids))
    news[them] = news[them] or {}
    table.insert(news[them], text)
    notices = notices + 1
  end
end

-- Those that a job would have waited for, of which there are many, until they were told that it left.
local function leaving_key(id)
  return P .. ':leaving:' .. id
end

-- Notes that those are to be told. Their entry names none of them: `collect` does, a part in each call,
-- for they may be more than one script should look at.
local function send_left(id)
  news[''] = news[''] or {}
  table.insert(news[''], id .. ' left')
  notices = notices + 1
end

-- Has it told to those that wait for a job how it ended. Who waits on when it did not succeed does so
-- no more once it was discarded.
local function tell(id, outcome)
  local ids, kept = {}, false
  for _, member in ipairs(redis.call('SMEMBERS', awaited_key(id))) do
    if (outcome == 'failed' or outcome == 'cancelled') and string.sub(member, -1) == '*' then
      kept = true
    else
      ids[#ids + 1] = string.sub(member, 1, 36)
    end
  end
  send(ids, id .. ' ' .. outcome)
  if not kept then
    over_keys[#over_keys + 1] = awaited_key(id)
    return
  end
  for first = 1, #ids, 1000 do
    redis.call('SREM', awaited_key(id), unpack(ids, first, math.min(first + 999, #ids)))
  end
end

-- Keeps the last version of a job that ended again, or was discarded, by the event just appended: who
-- has read an older one in the tables is refused. It is let go an hour after that event is archived:
-- see trim.
local function remember(id, version)
  redis.call('SET', P .. ':gone:' .. id, version)
  redis.call('ZADD', P .. ':gone', seq, id)
end

-- Notes that a job has ended, by the event just appended, whose version is `version`; `ran`: it was
-- running. Its hot state is there until the script calls `bury`, which takes all away in one command;
-- `over[id]` tells meanwhile.
local function conclude(id, flags, version, raw, ran)
  over[id] = true
  over_keys[#over_keys + 1] = job_key(id)
  if bit.band(flags, REDRIVEN) ~= 0 then
    remember(id, version)
  end
  if bit.band(flags, LOCKED) ~= 0 then
    unlock(id)
  end
  if bit.band(flags, STEPS) ~= 0 then
    over_keys[#over_keys + 1] = steps_key(id)
  end
  if bit.band(flags, AWAITED) ~= 0 then
    tell(id, string.sub(last_event, 5))
  end
  if limited then
    leave_gates(id, raw, ran)
  end
end

local function bury()
  for dependents, ended in pairs(news) do
    for first = 1, #ended, 100 do
      redis.call('XADD', OUTBOX, '*', 'ended', table.concat(ended, ' ', first,
        math.min(first + 99, #ended)), 'dependents', dependents)
    end
  end
  news = {}
  for first = 1, #over_keys, 1000 do
    redis.call('UNLINK', unpack(over_keys, first, math.min(first + 999, #over_keys)))
  end
  over_keys = {}
end
