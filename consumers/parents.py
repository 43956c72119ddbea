"""Jobs that a handler's job is to wait for are told so before it is submitted."""

from collections import defaultdict

from ..core.ids import code_of
from ..core.keys import partition_code
from ..core.linking import MAX_DEPENDENTS
from ..core.queue import Directory
from ..core.submitting import NewJob
from .errors import StepError
from .patience import patiently

ROOM = f"have room for one more that waits for them (at most {MAX_DEPENDENTS} may)"


async def watch_parents(
    directory: Directory, job: NewJob, queue: str, about: str
) -> dict[str, str]:
    """Have the jobs that `job` depends on tell it of their ends; `?` for those that do not live.

    How those ended is not known here: who has the tables finds it out. Raises StepError.
    """
    codes: dict[int, list[str]] = defaultdict(list)
    for name in await patiently("a job", directory.partitions):
        codes[partition_code(name)].append(name)
    mark = "*" if job.spec.on_parent_failure == "wait" else ""
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for parent in job.spec.depends_on:
        if code_of(parent) not in codes:
            raise StepError(about, "depends_on of jobs that were submitted", parent)
        for name in codes[code_of(parent)]:
            pairs[name].append((parent, job.id + mark))
    await patiently("a job", lambda: directory.link(queue))
    living: set[str] = set()
    for name, members in pairs.items():
        await patiently("a job", lambda: directory.link(name))  # noqa: B023
        verbs = directory.queue(name)
        replies = await patiently("a job", lambda: verbs.watch(members))  # noqa: B023
        for (parent, _), reply in zip(members, replies, strict=True):
            if reply == "full":
                raise StepError(
                    about, f"depends_on of jobs that {ROOM}", f"{parent}, which has none"
                )
            if reply == "lives":
                living.add(parent)
    return {parent: "?" for parent in job.spec.depends_on if parent not in living}
