-- Takes a job in: the one place where a job begins. Needs header, log, ending and waiting.

-- Accepts a job that may run at once, or at `at` (ms since 1970); `expires`: the same, 0 never. The
-- caller rings for those that may run at once.
local function accept(id, priority, flags, at, expires, body)
  append('job.submitted', id, 1, body)
  if at then
    redis.call('SET', job_key(id), pack(SCHEDULED, priority, flags, 0, 0, 1, 0, expires, '') .. body)
    wait_until(id, at)
  else
    local entry = enter(priority, id)
    redis.call('SET', job_key(id), pack(QUEUED, priority, flags, 0, 0, 1, 2, expires, entry) .. body)
  end
end
