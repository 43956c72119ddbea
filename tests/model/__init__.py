"""What the verbs of a partition do, as a pure model: no server, no clock, no IO.

This is the specification that the Lua verbs are held to. A hypothesis state machine
(`test_against_model.py`) gives the same commands to the model and to a real server, in any order,
and wants from both the same replies, the same events, and the same state after each step.

The rooms, one class each
    log.py        `Log`: the facts that were appended, in order; a fact's seq is its place, from 1
    jobs.py       `Jobs`: the hot state of live jobs, and what is remembered of some that ended
    lanes.py      `Lanes`: jobs that may run, in the order they came, one lane per priority; which
                  of them were given to whom, and since when
    due.py        `Due`: jobs that wait for an instant, in the order of those instants
    gates.py      `Gates`: concurrency limits, who has passed them and who waits at them
    locks.py      `Locks`: which job stands for all like it
    partition.py  `Partition`: all rooms, the clock, the bell, and the steps that verbs share
    commands.py   what is given to the verbs, and what a claim gives
    verbs.py      `Model`: one method per verb, from submitting.py, operating.py, working.py and
                  keeping.py

Beside it, and not pure: `world.py` (the server, its time, what can be seen of it), `pair.py` (one
command to both), `play.py` (what callers do and remember), `test_against_model.py` (one rule per
verb, or per thing that happens in life). `state.py` draws the picture that both must give.

A new verb is a method in one of those four, one of the same name in `play.py`, and a rule. A new
reason why a job waits is a room of its own: give it to `Partition`, to `State`, and to what
`World.look` reads; its times must move with `World.step`.

Time. The model's time has two parts, `Instant(minute, tick)`. The minute moves only when a test
says so (`Model.step`). The tick moves with every call: it orders what happens within one minute.
Real milliseconds pass between calls as ticks do, so the order of instants is the order of the
server's times as long as an example takes less than a minute. That is why every delay, expiry and
lease here is a whole number of minutes: what is due, expired or lost is then never a matter of
milliseconds.

The life of a job
    submitted   version 1. It enters its lane, or waits in `Due` if it has a run time; one whose
                time is not later than now is promoted in the same call.
    promoted    the earliest first, of those due at the same instant the lower id. An expired one
                fails; the others enter their lanes: job.queued{due}, or {retry} after an attempt.
    started     entries are given in the order of their lanes, lane 0 first, and in a lane in the
                order they entered. An expired one fails instead. The version of its job.started is
                the lease's fence.
    finished    only by who names the fence of the lease that is running. A verdict that would run
                the job again ends it if its cancellation was requested.
    lost        a lease neither renewed nor asked for (`held`) for as long as the lease lasts is
                taken back by `reap`: the job enters its lane anew, behind all others, and the old
                fence is good for nothing. After too many crashes it fails as poison.
    ended       nothing is kept, but of a job that was redriven its last version, for an hour, so
                that whoever read an older end cannot redrive it.

A consumer group that is lost takes with it who held what. Which entries were given is known all
the same (the lane notes the last), so their jobs are running still, and may be finished; but no
claim, renewal or reaping is possible in that lane before `mend`. A claim that meets a lost lane is
refused after it has served the lanes before: what it started there the worker finds by `held`.

A job over a concurrency limit waits at the gate of that limit, by priority and arrival, and keeps
what it has passed before. Who ends, or waits for a time, lets go of its gates, and each time the
next of those who wait there enters its lane. A new lease of the same job has passed already.

A job whose lock is taken is not made. It is told of the one that stands for it, which is given its
spec if it waits and the submission says so.

A paused queue gives no new leases, a draining one takes no jobs; all else goes on.

Not in the model yet: rates, aging, purges, schedules, and the lock of a request. The test of any
order (`tests/core/verbs/test_any_order.py`) covers the first three, `test_fire.py` schedules.

The bell has at most one token. It is rung whenever somebody who waits may have something to do.
"""
