-- The header of a job's hot state: 37 bytes before the spec, so that one value holds both.
-- core/hot.py reads and writes the same layout.
--
--   state     1 scheduled, 2 queued, 4 running, 5 retrying. A claim writes nothing: a queued job
--             whose ready entry is pending is running, one version and one attempt further.
--   priority  0-9: which ready stream its entry is in
--   flags     1: cancellation requested, 2: redriven before
--   crashes   leases that expired
--   attempt   attempts that have ended
--   version   of the job's last event (but the job.started of a claim, see state)
--   fence     version of the job.started event of the lease its ready entry gives: who finishes
--             must name it, so an older lease is refused
--   expires   ms since 1970 after which it must not start; 0: never
--   ms, n     its ready entry's id, 0-0 without one
local FORMAT = '>BBBHI4I4I4I8I8I4'
local SIZE = 37
local SCHEDULED, QUEUED, RUNNING, RETRYING = 1, 2, 4, 5
local CANCEL, REDRIVEN = 1, 2

local function pack(state, priority, flags, crashes, attempt, version, fence, expires, ms, n)
  return struct.pack(FORMAT, state, priority, flags, crashes, attempt, version, fence, expires,
    ms, n)
end
