"""The values a submission is made of, with their bounds, as the OpenAPI document tells them."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from ..core.acknowledgement import Level
from ..core.linking import MAX_PARENTS, ParentPolicy
from ..core.retry import MAX_ATTEMPTS, MAX_DELAY

NO_NUL = "^[^\\x00]*$"
"""PostgreSQL's text cannot hold NUL; a payload may, since it is kept as JSON."""

Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_NUL)]
MetadataKey = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_NUL)]
MetadataValue = Annotated[str, Meta(max_length=1024, pattern=NO_NUL)]
Seconds = Annotated[float, Meta(ge=0, le=MAX_DELAY)]
Instant = Annotated[datetime, Meta(tz=True)]
JobType = Annotated[
    str,
    Meta(
        description="Which handler is to run it.",
        examples=["email.send"],
        extra_json_schema={"pattern": "^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}$"},
    ),
]
Queue = Annotated[
    str,
    Meta(
        description="Default: that of the job type, else `default`.",
        extra_json_schema={"pattern": "^[a-z0-9][a-z0-9._-]{0,62}$"},
    ),
]
"""Patterns for the document alone: core.keys checks names, and remembers those it has seen."""

LimitKey = Annotated[
    str,
    Meta(
        description="Jobs of a queue with the same key share the limits kept by it.",
        examples=["tenant-7"],
        extra_json_schema={"pattern": "^[a-zA-Z0-9._:/@+-]{1,128}$"},
    ),
]
DependsOn = Annotated[
    list[Annotated[str, Meta(max_length=64)]],
    Meta(max_length=MAX_PARENTS, description="Ids of the jobs it waits for, in any queue."),
]
ParentFailure = Annotated[
    ParentPolicy,
    Meta(description="What becomes of it if one of those does not succeed. Default: fail."),
]
Subject = Annotated[
    str,
    Meta(
        description="Whom the job is about: its data is encrypted, to be erased.",
        examples=["customer-4711"],
        min_length=1,
        max_length=200,
        pattern=NO_NUL,
    ),
]
Ack = Annotated[
    Level,
    Meta(description="Where the job must be before this is answered; see docs/guarantees.md."),
]
Attempts = Annotated[
    int, Meta(ge=1, le=MAX_ATTEMPTS, description="Default: that of the job type, else 5.")
]
