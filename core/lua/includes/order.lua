-- How much a claim may take, and from which ready stream next. Needs gates.

-- How many jobs the limits of the whole queue let start now, at most `wanted`. Nothing is parked for
-- these: all jobs wait alike, in their ready streams. Pending entries are the jobs that run.
local function quota(wanted)
  local bounds = redis.call('HMGET', LIMITS, 'c', 'r')
  if bounds[1] and bounds[1] ~= '-' then
    local running = 0
    for priority in string.gmatch(lanes, '.') do
      local pending = redis.pcall('XPENDING', ready_key(priority), GROUP)
      running = running + (pending[1] or 0)
    end
    wanted = math.min(wanted, tonumber(bounds[1]) - running)
  end
  local rate = gate_of('r', bounds[2])
  if rate then
    look(rate)
    wanted = math.min(wanted, room(rate))
  end
  return math.max(wanted, 0), rate
end

-- Whether entries wait in any ready stream that nobody was given yet.
local function any_waiting()
  for priority in string.gmatch(lanes, '.') do
    local pending = redis.pcall('XPENDING', ready_key(priority), GROUP)
    if redis.call('XLEN', ready_key(priority)) > (pending[1] or 0) then
      return true
    end
  end
  return false
end

-- With aging (ms) a job of priority p is served as if it had come p × aging later, so that none
-- starves: the stream whose first waiting entry is so the oldest, and how many of its entries,
-- at most `wanted`, come before the first of any other; nil if nothing waits.
local function oldest_first(aging, wanted)
  local best, best_at, from, next_at
  for priority in string.gmatch(lanes, '.') do
    local after = '(' .. (redis.call('HGET', META, 'delivered:' .. priority) or '0-0')
    local head = redis.call('XRANGE', ready_key(priority), after, '+', 'COUNT', 1)[1]
    if head then
      local at = tonumber(string.sub(head[1], 1, 13)) + priority * aging
      if not best_at or at < best_at then
        best, best_at, from, next_at = priority, at, after, best_at
      elseif not next_at or at < next_at then
        next_at = at
      end
    end
  end
  if not best or not next_at then
    return best, wanted
  end
  local last = string.format('%.0f', next_at - best * aging)
  local ahead = redis.call('XRANGE', ready_key(best), from, last, 'COUNT', wanted)
  return best, math.max(#ahead, 1)
end
