#!lua
-- Turns occurrences of schedules into jobs, and moves each schedule to its next occurrence: of all
-- who try the same, one does it.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  command id: the same one again gives the first reply again, and does nothing; '': none
-- ARGV[2]  how long the command id is kept (ms)
-- ARGV[3…] per schedule: name, version, position, buffered, next, due, overlap, skipped, by, count,
--          jobs
--          version   the one it must have, since all that follows was read from it
--          position  the occurrence it must stand at ('' none); '-': it stays where it is, and
--                    overlap is not asked for (somebody wants these jobs)
--          buffered  the occurrence that must wait in it ('' none)
--          next      where it is to stand ('' nowhere any more), due: when that is to be fired
--          overlap   allow · skip · buffer_one · cancel_running
--          skipped   body of a schedule.skipped; '': none was missed
--          by        '' or who fires it, as members of an object: ',"actor":…,"reason":…'
--          jobs      `count` of id, occurrence, cause, priority, expires (ms, 0 never), body;
--                    occurrences rise, but for the buffered one, which comes first
--
-- Replies  one {outcome, ids of the jobs submitted, with spaces between} per schedule:
--          'fired'     done, even if all was skipped or waits
--          'lost'      it stands elsewhere or is paused: somebody was faster. Nothing was done
--          'changed'   it has another version. Nothing was done
--          'missing'   there is none
--          'draining'  the queue takes no jobs. Nothing was done
--          LOGLOST …   the log is gone
--          IDTAKEN id  a job of that id lives here: nothing was done
--          OOM …       memory is full: nothing was done
-- Appends  per schedule schedule.skipped{missed}, then per job job.submitted and schedule.fired, or
--          schedule.skipped{overlap|buffered}; job.cancelled · job.cancel_requested
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
--@include accepting
--@include cancelling
--@include planned
local fault = open_log()
if fault then return fault end

local once = P .. ':once:' .. ARGV[1]
if ARGV[1] ~= '' then
  local seen = redis.call('GET', once)
  if seen then return {{'fired', seen}} end
end

local MOST_RUNNING = 100
local firings, keys = {}, {}
local at = 3
while at <= #ARGV do
  local firing = {name = ARGV[at], version = ARGV[at + 1], position = ARGV[at + 2],
    buffered = ARGV[at + 3], next_at = ARGV[at + 4], due = ARGV[at + 5], overlap = ARGV[at + 6],
    skipped = ARGV[at + 7], by = ARGV[at + 8], jobs = {}}
  local count = tonumber(ARGV[at + 9])
  at = at + 10
  for i = 1, count do
    firing.jobs[i] = {id = ARGV[at], occurrence = ARGV[at + 1], cause = ARGV[at + 2],
      priority = ARGV[at + 3], expires = ARGV[at + 4], body = ARGV[at + 5]}
    keys[#keys + 1] = job_key(ARGV[at])
    at = at + 6
  end
  firings[#firings + 1] = firing
end
for i = 1, #keys do
  if redis.call('EXISTS', keys[i]) == 1 then
    return redis.error_reply('IDTAKEN ' .. keys[i])
  end
end

local before = seq
local now = now_ms()
local gone = {}
local submitted = false

local function skip(name, occurrence, reason)
  append('schedule.skipped', '', 0, '{"schedule":"' .. name .. '","occurrence":' .. occurrence
    .. ',"reason":"' .. reason .. '"}')
end

-- Those of the jobs named in `text` that live.
local function living(text)
  local found = {}
  for id in string.gmatch(text, '%S+') do
    if not over[id] and redis.call('EXISTS', job_key(id)) == 1 then
      found[#found + 1] = id
    end
  end
  return found
end

-- Whether an occurrence may become a job now. If not, it is skipped or waits in `state`.
local function admits(firing, job, state)
  if firing.overlap == 'allow' or firing.position == '-' or #state.running == 0 then
    return true
  elseif firing.overlap == 'cancel_running' then
    local body = '{"actor":"schedule ' .. firing.name .. '","reason":"overlap"}'
    for _, id in ipairs(state.running) do
      cancel(id, body, gone)
    end
    return true
  elseif firing.overlap == 'skip' then
    skip(firing.name, job.occurrence, 'overlap')
  elseif state.buffered == '' then
    state.buffered = job.occurrence
  elseif state.buffered ~= job.occurrence then
    skip(firing.name, job.occurrence, 'buffered')
  end
  return false
end

-- Why a schedule cannot be fired as was thought, or nil; `old` are its fields as they are.
local function refusal(firing, old)
  if not old[1] then
    return 'missing'
  elseif old[1] ~= firing.version then
    return 'changed'
  elseif firing.position ~= '-'
    and (old[2] ~= firing.position or old[3] ~= firing.buffered or old[4] ~= '') then
    return 'lost'
  end
end

local function submit(firing, job, state)
  accept(job.id, job.priority, 0, nil, tonumber(job.expires), job.body)
  append('schedule.fired', '', 0, '{"schedule":"' .. firing.name .. '","occurrence":'
    .. job.occurrence .. ',"job_id":"' .. job.id .. '","cause":"' .. job.cause .. '"'
    .. firing.by .. '}')
  if firing.position ~= '-' and state.buffered == job.occurrence then
    state.buffered = ''
  end
  if job.cause ~= 'backfill' then
    state.running[#state.running + 1] = job.id
    state.last = job
  end
  state.ids[#state.ids + 1] = job.id
  submitted = true
end

-- Writes down where the schedule stands after a firing.
local function settle(firing, state)
  local key = schedule_key(firing.name)
  local first = math.max(1, #state.running - MOST_RUNNING + 1)
  local tracked = firing.overlap ~= 'allow' and table.concat(state.running, ' ', first) or ''
  redis.call('HSET', key, 'running', tracked)
  if state.last then
    redis.call('HSET', key, 'last_job', state.last.id, 'last_occurrence', state.last.occurrence,
      'last_at', now)
  end
  if firing.position ~= '-' then
    redis.call('HSET', key, 'next', firing.next_at, 'due', firing.due, 'buffered', state.buffered)
    arrange(firing.name, now, firing.next_at, firing.due, '', state.buffered)
  end
end

local function fire(firing)
  local old = redis.call('HMGET', schedule_key(firing.name), 'version', 'next', 'buffered',
    'paused', 'running', 'last_job')
  local refused = refusal(firing, old)
  if refused then
    return {refused, ''}
  end
  local state = {buffered = old[3], running = {}, ids = {}}
  if firing.overlap ~= 'allow' then
    -- Nothing is kept of what runs while its policy is `allow`, but for its last job.
    state.running = living((old[5] or '') ~= '' and old[5] or old[6] or '')
  end
  if firing.skipped ~= '' then
    append('schedule.skipped', '', 0, firing.skipped)
  end
  for _, job in ipairs(firing.jobs) do
    if admits(firing, job, state) then
      submit(firing, job, state)
    end
  end
  settle(firing, state)
  return {'fired', table.concat(state.ids, ' ')}
end

local replies = {}
for i, firing in ipairs(firings) do
  replies[i] = mode == 'draining' and {'draining', ''} or fire(firing)
end
leave(gone)
bury()
if seq > before then
  close_log()
end
if submitted then
  ring()
end
if ARGV[1] ~= '' and replies[1] and replies[1][1] == 'fired' then
  redis.call('SET', once, replies[1][2], 'PX', ARGV[2])
end
return replies
