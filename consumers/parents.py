"""Jobs that a handler's job is to wait for are told so before it is submitted."""

from collections import defaultdict

from ..core.ids import code_of
from ..core.keys import partition_code
from ..core.queue import Directory
from ..core.submitting import NewJob
from .errors import StepError
from .patience import patiently


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
        lives = await patiently("a job", lambda: verbs.watch(members))  # noqa: B023
        living.update(one for (one, _), alive in zip(members, lives, strict=True) if alive)
    return {parent: "?" for parent in job.spec.depends_on if parent not in living}
