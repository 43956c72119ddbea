"""The verbs about jobs that wait for others: watch, collect, settle, overdue, join, extend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..linking import MAX_DEPENDENTS, Ended, Extended, Joined, Outcome, Overdue, Watched
from .joining import Joining
from .links import OPEN


class Linking(Joining):
    """What is asked of a partition by who brings ends to those that wait for them."""

    def watch(self, pairs: Iterable[tuple[str, str]], *, ended: bool) -> list[Watched]:
        """(job, who waits for it): whether the job lives; `ended`: note it in any case."""
        return [self._watch(job, waiting, ended=ended) for job, waiting in pairs]

    def _watch(self, id: str, waiting: str, *, ended: bool) -> Watched:
        job = self.jobs.live.get(id)
        if job is None and not ended:
            return "gone"
        known = self.links.awaited.get(id, {})
        if waiting not in known and len(known) >= MAX_DEPENDENTS:
            return "full"
        self.links.await_(id, [waiting])
        if job is None:
            return "gone"
        job.awaited = True
        return "lives"

    def collect(self, limit: int, idle_ms: int) -> list[Ended]:
        """Take notices from the outbox; with `idle_ms` also what others took so long ago."""
        found = self.links.take(limit, idle_ms, self.now)
        return [Ended(one.entry, list(one.ended), list(one.dependents)) for one in found]

    def overdue(
        self, long_ms: int, jobs: int, parents: int, look_ms: int, looked: Sequence[str]
    ) -> list[Overdue]:
        """Who was not seen to for so long; it takes `look_ms` until they are, or named again.

        looked  those that were seen to by now
        """
        seen = self.links.seen
        seen.update({id: self.now for id in looked if id in seen})
        found = sorted(seen, key=lambda id: (seen[id], id))
        late = [id for id in found if seen[id] <= self.now - long_ms][:jobs]
        seen.update(dict.fromkeys(late, self.now - long_ms + look_ms))
        return [self._overdue(id, parents) for id in late]

    def _overdue(self, id: str, parents: int) -> Overdue:
        named = list(self.links.parents[id])[:parents]
        policy = self.jobs.live[id].head.on_parent_failure or "fail"
        return Overdue(id, policy, [one for one in named if one != OPEN])

    def join(self, news: Mapping[str, Sequence[tuple[str, Outcome]]]) -> Joined:
        """Tell jobs how others ended. Those that are not there yet are told once they are.

        An id tells the time of those who make ids, and a log in memory has another one: here any
        job may still come.
        """
        links, joined = self.links, 0
        before = links.notices
        for id, told in news.items():
            ended = [(parent, outcome) for parent, outcome in told if outcome != "left"]
            for parent, outcome in told:
                if outcome == "left":
                    links.leave(id, parent)
            joined += self._join(id, ended)
        return Joined(joined, links.notices > before)

    def _join(self, id: str, ended: list[tuple[str, str]]) -> int:
        job = self.jobs.live.get(id)
        if not ended:
            return 0
        if job is None:
            self.links.keep_early(id, ended, self.now)
        elif job.depends:
            self.hear(job, ended)
            return int(job.fence > 0)
        return 0

    def extend(
        self, id: str, parents: Sequence[str], ended: Mapping[str, Outcome], body: bytes, end: bytes
    ) -> Extended:
        """Have an open job wait for these, too; `end`: and for no others. Bodies of the events."""
        job, links = self.jobs.live.get(id), self.links
        if job is None or not job.depends:
            return "missing"
        if not links.is_open(id):
            return "closed"
        known = links.known(id, self.now)
        outcomes = [(one, ended.get(one) or known.get(one)) for one in parents]
        if parents:
            self.append("job.extended", job, body)
            links.depend(id, parents)
        if end:
            self.append("job.closed", job, end)
            links.parents[id].pop(OPEN)
            links.early.pop(id, None)
        self.hear(job, [(one, outcome) for one, outcome in outcomes if outcome])
        return "extended"
