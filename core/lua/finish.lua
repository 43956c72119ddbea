#!lua flags=allow-oom
-- Takes the verdicts on jobs that ran, each from the lease it names and no other.
--
-- KEYS[1]  partition prefix
-- ARGV     per verdict: id, fence, kind, delay (ms), body, body of the end
--          kind  succeeded · retry · failed · snoozed · released · cancelled · crashed
--          body  of the event of that name (retry: of job.attempt_failed; failed: of the last
--                job.attempt_failed, or '' for none, and the second body is that of job.failed;
--                crashed: the second body is that of job.failed if it has crashed too often, or '')
--
-- Replies  one per verdict: 1 accepted, 2 accepted, and others waited for the end of the job, 0
--          refused (the lease was lost, or the job has ended, or
--          the server lost the job.started of that lease in a crash)
--          LOGLOST …   the log is gone
--          INVALID …   a kind or delay that is none: nothing was done
-- Appends  job.succeeded · job.attempt_failed · job.failed · job.snoozed · job.released ·
--          job.crashed, then job.failed or nothing · job.cancelled (also after any verdict that
--          would run a job again whose cancellation was requested, and after its last crash)
--@include header
--@include log
--@include ending
--@include waiting
--@include gates
local fault = open_log()
if fault then return fault end

local EVENT = {succeeded = 'job.succeeded', retry = 'job.attempt_failed', failed = 'job.failed',
  snoozed = 'job.snoozed', released = 'job.released', cancelled = 'job.cancelled',
  crashed = 'job.crashed'}
local keys = {}
for i = 1, #ARGV, 6 do
  keys[#keys + 1] = job_key(ARGV[i])
  if not EVENT[ARGV[i + 2]] or not tonumber(ARGV[i + 3]) then
    return redis.error_reply('INVALID verdict on job ' .. ARGV[i] .. ': ' .. ARGV[i + 2]
      .. ' with delay ' .. ARGV[i + 3])
  end
end
local raws = redis.call('MGET', unpack(keys))
local now = now_ms()
local before = seq
local replies, gone, done = {}, {}, {}

for k = 1, #keys do
  local at = (k - 1) * 6
  local id, fence, kind = ARGV[at + 1], version_of(ARGV[at + 2]), ARGV[at + 3]
  local raw = raws[k]
  local accepted = 0
  if raw and not done[id] then
    local state, priority, flags, crashes, attempt, version, current, expires, entry =
      struct.unpack(FORMAT, raw)
    if current == fence and fence > 0 and started(priority, entry) then
      accepted = 1
      done[id] = true
      version = math.max(version, fence)
      note(gone, priority, entry)
      local finished = true
      if kind == 'failed' then
        if ARGV[at + 5] ~= '' then
          version = version + 1
          append('job.attempt_failed', id, version, ARGV[at + 5])
        end
        version = version + 1
        append('job.failed', id, version, ARGV[at + 6])
      else
        version = version + 1
        append(EVENT[kind], id, version, ARGV[at + 5])
        if kind ~= 'succeeded' and kind ~= 'cancelled' then
          if flags % 2 == CANCEL then
            version = version + 1
            append('job.cancelled', id, version, '{}')
          elseif kind == 'crashed' and ARGV[at + 6] ~= '' then
            version = version + 1
            append('job.failed', id, version, ARGV[at + 6])
          else
            finished = false
          end
        end
      end
      if finished then
        local before_it = notices
        conclude(id, flags, version, raw, true)
        accepted = notices > before_it and 2 or 1
      else
        local delay = tonumber(ARGV[at + 4])
        local tries = kind == 'retry' and attempt + 1 or attempt
        if kind == 'crashed' then
          crashes = math.min(crashes + 1, 65535)
        end
        if delay == 0 and (kind == 'crashed' or kind == 'released') then
          -- It keeps what it has passed: it is the next to run, and those of its key stay behind it.
          entry = enter(priority, id)
          redis.call('SETRANGE', keys[k], 0, pack(QUEUED, priority, flags, crashes, tries,
            version, version + 1, expires, entry))
          ring()
        else
          redis.call('SETRANGE', keys[k], 0, pack(kind == 'retry' and RETRYING or SCHEDULED,
            priority, flags, crashes, tries, version, 0, expires, ''))
          wait_until(id, now + delay)
          if limited then
            leave_gates(id, raw, true)
          end
        end
      end
    end
  end
  replies[k] = accepted
end
leave(gone)
bury()
if seq > before then
  close_log()
  if limited and redis.call('HEXISTS', LIMITS, 'c') == 1 then
    ring()  -- the limit of the whole queue may be what others wait for
  end
end
return replies
