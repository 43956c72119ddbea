"""A job's history told event by event, and then where it stands."""

from collections.abc import Iterable, Sequence

from ..errors import IllegalTransition, UnknownEvent, UnreadableEvent
from ..events import Record
from ..jobs import JobState, advance, begin
from ..upcast import decode
from .facts import Facts
from .sentences import Sentence
from .standing import stand
from .story import Story
from .telling import TELL


def explain(
    history: Iterable[Record], around: Sequence[Record] = (), facts: Facts | None = None
) -> list[Sentence]:
    """What there is to say of a job: first why it is where it is, then what happened, in order.

    `history`: its events from the first one on; `around`: what happened to its queue while it
    lived, and to its schedule. Never raises, whatever they are.
    """
    story = Story(around)
    for record in history:
        take(story, record)
    return conclude(story, facts)


def take(story: Story, record: Record) -> None:
    """Go on with one more event of the job."""
    if story.parked:
        return
    try:
        event = decode(record)
        if story.job is None:
            story.job = begin(record, event)
        else:
            advance(story.job, record, event)
    except (UnknownEvent, UnreadableEvent, IllegalTransition) as error:
        story.park(record, error)
        return
    tell = TELL.get(type(event))
    if tell is not None:
        tell(story, story.job, event, record)
    if story.job.state is JobState.QUEUED:
        story.ready = record
    elif story.job.state in (JobState.SCHEDULED, JobState.RETRYING):
        story.timed = record
    story.last = event


def conclude(story: Story, facts: Facts | None) -> list[Sentence]:
    """All there is to say once the history is told."""
    return stand(story, facts) + story.told
