-- Takes a job in. Needs header, log, ending and waiting.

-- Accepts a job that may run at once; `expires`: ms since 1970, 0 never. The caller rings.
local function accept(id, priority, expires, body)
  append('job.submitted', id, 1, body)
  local entry = enter(priority, id)
  redis.call('SET', job_key(id), pack(QUEUED, priority, 0, 0, 0, 1, 2, expires, entry) .. body)
end
