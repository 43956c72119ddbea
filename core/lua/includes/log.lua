-- The partition's log. `P` is the key prefix of the partition. Every script that appends opens
-- the log first, and closes it last: seq numbers are given here and nowhere else.
local P = KEYS[1]
local LOG = P .. ':log'
local META = P .. ':meta'
local seq, epoch, lanes
local limited  -- whether the queue has limits: see gates
local last_event  -- type of the event appended last
local mode  -- of the queue: '' open, 'paused' (gives no jobs), 'draining' (takes none)

-- The version of the job.started that a fencing token stands for. Tokens of a later epoch are higher
-- (see core/hot.py): one that was given before a restore names no lease of after it.
local function version_of(token)
  return tonumber(token) - (tonumber(epoch) - 1) * 4294967296
end

local function job_key(id)
  return P .. ':job:' .. id
end

-- Reads where the log stands; returns an error reply if it is gone, since then there is no truth
-- to append to. A partition never used stands at seq 0 of epoch 1.
local function open_log()
  local meta = redis.call('HMGET', META, 'seq', 'epoch', 'lanes', 'mode', 'limited')
  seq, epoch, lanes, mode = tonumber(meta[1] or 0), meta[2] or '1', meta[3] or '', meta[4] or ''
  limited = meta[5]
  if mode == 'lost' then
    return redis.error_reply('LOGLOST ' .. (redis.call('HGET', META, 'lost') or 'the log is gone'))
  end
  local exists = redis.call('EXISTS', LOG) == 1
  if seq > 0 and not exists then
    return redis.error_reply('LOGLOST the log ' .. LOG .. ' is gone, expected it to end at seq '
      .. seq .. ' of epoch ' .. epoch)
  end
  if seq == 0 and exists then
    -- Going on from seq 1 would number events twice.
    return redis.error_reply('LOGLOST ' .. META .. ' is gone, expected it to tell where the log '
      .. LOG .. ' ends')
  end
end

-- The error reply of a verb that brings jobs into a queue that takes none; nil if it does.
local function refuse_draining()
  if mode == 'draining' then
    local queue = string.sub(P, string.find(P, ':', 1, true) + 1, -2)
    return redis.error_reply('DRAINING queue ' .. queue .. ' takes no jobs until it is resumed')
  end
end

local function append(kind, job, version, body)
  seq = seq + 1
  last_event = kind
  redis.call('XADD', LOG, '*', 'seq', seq, 'epoch', epoch, 'type', kind, 'job', job,
    'version', version, 'body', body)
end

local function close_log()
  redis.call('HSET', META, 'seq', seq, 'epoch', epoch)
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
