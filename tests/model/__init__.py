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
    locks.py      `Locks`: which job stands for all like it
    gates.py      `Gates`: limits, who has passed the gate of each, and who waits there
    rooms.py      `Rooms`: all of them, the mode, the clock, the bell
    passing.py    `Passing`: how jobs pass gates, wait, are let in and leave; how a job ends
    partition.py  `Partition`: how jobs are promoted

The verbs, one method each, by who calls them: `submitting.py`, `working.py`, `operating.py`,
`maintaining.py`; `verbs.py` puts them together as `Model`.

Beside it, and not pure: `world.py` (the server, its time, what can be seen of it), `pair.py` (one
command to both), `stage.py`, `clients.py`, `workers.py` and `operators.py` (what callers do and
remember), put together in `play.py`, and `test_against_model.py` (one rule per verb, or per thing
that happens in life). `state.py` draws the picture that both must give. `laws.py` says what holds
of limits in any log, however the verbs came to it.

A new verb is a method in the file of its callers, one of the same name on the stage, and a rule. A
new reason why a job waits is a room of its own: give it to `Rooms`, to `State`, and to what
`World.look` reads; its times must move with `World.step`. Not here yet: schedules, which are to be
a room and a file of verbs, and the steps and the progress of jobs (`checkpoint`, `progress`).
`test_any_order.py` of the verbs drives those, against the audits alone.

Time. The model's time has two parts, `Instant(minute, tick)`. The minute moves only when a test
says so (`Model.step`). The tick moves with every call: it orders what happens within one minute.
Real milliseconds pass between calls as ticks do, so the order of instants is the order of the
server's times as long as an example takes less than a minute. That is why every delay, expiry,
period, lease and time between starts here is a whole number of minutes: what is due, expired, lost
or let in is then never a matter of milliseconds. Entries of lanes keep the times they came at, so
aging is either shorter than what lies between two calls or longer than any test.

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
    blocked     a job meets its gates when it would start: concurrency of its key, rate of its key,
                concurrency of its type, rate of its type, each first as the limit of its type. It
                waits at the first that is closed, keeps what it passed before that one and gives up
                what lies behind. So all take gates in one order, and no two wait for each other.
                Who leaves a gate lets the next in, by priority and then by arrival: job.queued
                {limit}. Room of a concurrency limit is kept until the job ends or waits for a time;
                a rate is paid when a job starts, and no more are let in than may start at once.
    replaced    by a submission whose lock a waiting job holds: fresh attempts at its new place.
                Others are let in at the gates it left when all of the submission is done.
    ended       nothing is kept, but of a job that was redriven its last version, for an hour, so
                that whoever read an older end cannot redrive it.

A consumer group that is lost takes with it who held what. Which entries were given is known all
the same (the lane notes the last), so their jobs are running still, and may be finished; but no
claim, renewal or reaping is possible in that lane before `mend`. A claim that meets a lost lane is
refused after it has served the lanes before: what it started there the worker finds by `held`.

What is not said: in which order crowded gates are looked at by who looks at all of them (`promote`,
`configure`); the model must agree with the server in one of the orders.

The bell has at most one token. It is rung whenever somebody who waits may have something to do.
"""
