#!lua
-- Makes a schedule, or changes it.
--
-- KEYS[1]  partition prefix
-- ARGV[1]  name
-- ARGV[2]  the version it must have; 0: there must be none; '': either is fine
-- ARGV[3]  digest of a declaration in code; '': it is a command, which nothing declared may undo
-- ARGV[4]  spec
-- ARGV[5]  next occurrence (ms since 1970; '': there will be none), ARGV[6] when it is due;
--          '=': both stay as they are
-- ARGV[7]  body of the event
--
-- Replies  {outcome, version}, outcome being
--          'created' · 'updated' (what was paused stays so)
--          'same'      that very declaration was made before, whatever became of it since
--          'foreign'   it was not declared, so a declaration leaves it alone
--          'conflict'  it has another version, or is there and must not be
--          'missing'   there is none
--          LOGLOST …   the log is gone
--          OOM …       memory is full
-- Appends  schedule.created · schedule.updated
--@include log
--@include planned
local fault = open_log()
if fault then return fault end

local name, expected, digest = ARGV[1], ARGV[2], ARGV[3]
local key = schedule_key(name)
local old = redis.call('HMGET', key, 'version', 'digest', 'next', 'due', 'paused', 'buffered')
local version, known = tonumber(old[1] or '0'), old[2] or ''

if digest ~= '' then
  if digest == known then
    return {'same', version}
  elseif version > 0 and known == '' then
    return {'foreign', version}
  end
elseif expected ~= '' and tonumber(expected) ~= version then
  return {version == 0 and 'missing' or 'conflict', version}
end

local next_at, due = ARGV[5], ARGV[6]
if next_at == '=' then
  next_at, due = old[3] or '', old[4] or ''
end
append(version == 0 and 'schedule.created' or 'schedule.updated', '', 0, ARGV[7])
close_log()
redis.call('HSET', key, 'spec', ARGV[4], 'version', version + 1, 'next', next_at, 'due', due,
  'digest', digest ~= '' and digest or known, 'paused', old[5] or '', 'buffered', old[6] or '')
arrange(name, now_ms(), next_at, due, old[5] or '', old[6] or '')
return {version == 0 and 'created' or 'updated', version + 1}
