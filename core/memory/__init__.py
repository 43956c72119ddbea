"""A log in memory: what the verbs of a partition do, without a server, a clock of its own, or IO.

It is the specification that the Lua verbs are held to, and what tests of handlers run on. A
hypothesis state machine (`tests/model`) gives the same commands to it and to a real server, in any
order, and wants from both the same replies, the same events, and the same state after each step.
The tests of single verbs (`tests/core/verbs`) run over both, too.

The rooms, one class each
    clock.py      `Clock`: the time, which stands still until it is stepped
    log.py        `Log`: the records that were appended, in order; a seq is a place, from 1
    jobs.py       `Jobs`: the hot state of live jobs, and what is remembered of some that ended
    lanes.py      `Lanes`: jobs that may run, in the order they came, one lane per priority; which
                  of them were given to whom, and since when
    due.py        `Due`: jobs that wait for an instant, in the order of those instants
    locks.py      `Locks`: which job stands for all like it
    gates.py      `Gates`: limits, who has passed the gate of each, and who waits there
    links.py      `Links`: who waits for whom, what is kept for jobs that are not there yet, and the
                  outbox of ends that are still to be told
    rooms.py      `Rooms`: all of them, the mode, the bell, answers that may be asked for again
    passing.py    `Passing`: how jobs pass gates, wait, are let in and leave; how a job ends
    partition.py  `Partition`: how jobs are promoted
    joining.py    `Joining`: how a job that waits for others goes on, or ends with them
    refusals.py   what no verb takes

The verbs, one method each, by who calls them: `submitting.py`, `working.py`, `stepping.py`,
`operating.py`, `planning.py` (schedules), `maintaining.py`, `linking.py` (jobs that wait for
others). `queue.py` puts them together as `MemoryPartition` and gives them the face of `core.queue`;
`directory.py` that of all partitions.

A new verb is a method in the file of its callers, one in `queue.py`, and a rule in `tests/model`. A
verb that is not here is refused by name (`NotInMemory`). A new reason why a job waits is a room of
its own: give it to `Rooms`, to the `State` of `tests/model`, and to what its `World` reads.

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
    held back   a job that waits for others is blocked from its submission on. It hears how they
                end, any number of times and in any order, also before it is there or while it is
                open and does not know yet for whom it waits. Joined, it may run or waits for its
                time; or it ends with the first that did not succeed. Who waits for a job is noted
                at that job; once it ends they are put into the outbox, but for those that wait on
                after a failure (`*`): they stay noted for the next end. Whoever stops waiting on
                says so.
    replaced    by a submission whose lock a waiting job holds: fresh attempts and no steps, at its
                new place. Others are let in at the gates it left once the whole submission is done.
    ended       nothing is kept, but of a job that was redriven or discarded its last version, for
                an hour, so that whoever read an older end cannot redrive it.

A consumer group that is lost takes with it who held what. Which entries were given is known all
the same (the lane notes the last), so their jobs are running still, and may be finished; but no
claim, renewal or reaping is possible in that lane before `mend`. A claim that meets a lost lane is
refused after it has served the lanes before: what it started there the worker finds by `held`.

What is not said: in which order crowded gates are looked at by who looks at all of them (`promote`,
`configure`); the memory must agree with the server in one of the orders. Nor which of the ends that
one call brings about share a notice of the outbox, and their order there. Nor how much one call
does of what would hold up a server: a purge takes all that wait for a time at once, and no log is
cut off.

The bell has at most one token. It is rung whenever somebody who waits may have something to do.
"""

from .clock import Clock
from .directory import MemoryDirectory, MemorySchedules
from .queue import MemoryPartition, MemoryQueue, MemoryRenewer, NotInMemory

__all__ = [
    "Clock",
    "MemoryDirectory",
    "MemoryPartition",
    "MemoryQueue",
    "MemoryRenewer",
    "MemorySchedules",
    "NotInMemory",
]
