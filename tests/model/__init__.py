"""The verbs of a server beside the log in memory (`millstream.core.memory`), call by call.

A hypothesis state machine gives the same commands to both, in any order, and wants the same
replies, the same events, and the same state after each step.

    world.py      the server, its time, and what can be seen of it
    pair.py       one command to both
    edges.py      what can be seen of jobs that wait for others
    stage.py, clients.py, families.py, workers.py, operators.py, planners.py
                  what callers do and remember, put together in `play.py`
    callers.py, kin.py, test_against_model.py
                  one rule per verb, or per thing that happens in life
    state.py      draws the picture that both must give
    laws.py       what holds of limits in any log, however the verbs came to it

Not here: occurrences that wait for a job to end (`buffer_one`), which are looked at each second.
The tests of `fire` know them, and run over both (`tests/core/verbs`).

Also not here: who is told what it was not. Whoever tells of an end read of it, now or long ago.

Time. The clock of the memory is stepped; that of the server cannot be moved, so a step moves
whatever it keeps that holds a time the other way (`World.step`). Minutes pass only so. Within a
minute the memory's clock moves by a few ms with every call, as the server's does: its ms order what
happens there, and `World.times` tells which ms of the server each was. The two agree as long as an
example takes less than a minute. That is why every delay, expiry, period, lease and time
between starts here is a whole number of minutes: what is due, expired, lost or let in is then never
a matter of milliseconds. Entries of lanes keep the times they came at, so aging is either shorter
than what lies between two calls or longer than any test.
"""
