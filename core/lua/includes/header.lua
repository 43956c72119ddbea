-- The header of a job's hot state: 53 bytes before the spec, so that one value holds both.
-- core/hot.py reads and writes the same layout.
--
--   state     1 scheduled, 2 queued, 3 blocked, 4 running, 5 retrying, 6 blocked by other jobs: see
--             joining. A claim writes nothing: a queued job whose ready entry is pending is running,
--             one version and one attempt on.
--   priority  0-9: which ready stream its entry is in
--   flags     1: cancellation requested, 2: redriven before, 4: holds the lock its spec names,
--             8: has steps, see steps_key, 16: others wait for it, see awaited_key
--   crashes   leases that expired, and runs whose process died
--   attempt   attempts that have ended
--   version   of the job's last event (but the job.started of a claim, see state)
--   fence     version of the job.started event of the lease its ready entry gives: who finishes
--             must name it, so an older lease is refused
--   expires   ms since 1970 after which it must not start; 0: never
--   entry     its ready entry's id, zero-padded; empty without one. Wide enough for 13 digits after
--             the dash, and a zero: while the clock is behind the last id only those count up. Of a
--             job in state 6: when it is to run once it waits no more, as submit was given it
local FORMAT = '>BBBHI4I4I4I8s'
local ZEROS = string.rep('\0', 28)
local SCHEDULED, QUEUED, BLOCKED, RUNNING, RETRYING = 1, 2, 3, 4, 5
local DEPENDENT = 6  -- blocked too
local HEAD = 2047  -- last byte of what a job is read for its keys and lock: a spec can have megabytes
local CANCEL, REDRIVEN, LOCKED, STEPS, AWAITED = 1, 2, 4, 8, 16

local function pack(state, priority, flags, crashes, attempt, version, fence, expires, entry)
  return struct.pack('>BBBHI4I4I4I8c28', state, priority, flags, crashes, attempt, version, fence,
    expires, entry .. ZEROS)
end
