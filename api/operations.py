"""What each route takes and answers, as the OpenAPI document tells it."""

from . import parameters
from .actions import Action, ActionResult
from .as_of import CountsDifference, CountsView, JobDifference
from .audits import AuditList
from .commands import By, Outcome, Reschedule
from .events import EventFeed
from .flow_commands import FlowCancelled
from .flow_reads import FlowEdges, FlowList, FlowNodes, FlowView
from .flow_shapes import Flow, FlowAddition
from .flows import FlowAccepted
from .health import Health
from .holds import HoldsParameters, HoldView, PlaceHold, Released
from .limits import Configure, Configured
from .operation import BODY_PROBLEMS as _BODY
from .operation import AttemptList, DeadLetterList, EventList, HoldList, JobList, Operation, Status
from .proofs import ProofView
from .queues import ModeChange, Purge, PurgeResult, QueueList, QueueParameters, QueueView
from .schedule_operations import SCHEDULES
from .subjects import Erase, Erased
from .submission import Accepted, Batch, LoneSubmission
from .submissions import Receipts
from .views import EventView, JobView, SummaryView
from .why import Why
from .workers import JobTypeList, WorkerList

_EXAMPLE = {"type": "email.send", "payload": {"to": "ada@example.org"}, "delay": 30}

OPERATIONS = (
    Operation(
        "post", "/jobs", "submitJob", "jobs", "Submit a job", Accepted, 201,
        body=LoneSubmission, problems=(*_BODY, 409, 422, 503), also=(200,), example=_EXAMPLE,
        keyed=True,
    ),
    Operation(
        "post", "/jobs/batch", "submitBatch", "jobs",
        "Submit up to 10,000 jobs; all are checked before any is accepted", Receipts, 201,
        body=Batch, problems=(*_BODY, 409, 422, 503), also=(200,), example={"jobs": [_EXAMPLE]},
        keyed=True,
    ),
    Operation(
        "get", "/jobs", "listJobs", "jobs",
        "List jobs, newest first; with `at` those of then, as they were", JobList,
        query=parameters.ListParameters, problems=(400, 410, 422, 503),
    ),
    Operation(
        "get", "/jobs/{job_id}", "getJob", "jobs",
        "One job; with `wait` when it has ended, with `at` as it was", JobView,
        query=parameters.JobParameters, problems=(400, 404, 410, 422, 503),
    ),
    Operation(
        "get", "/jobs/{job_id}/diff", "diffJob", "jobs",
        "What changed in a job between two instants", JobDifference,
        query=parameters.BetweenParameters, problems=(400, 404, 410, 422, 503),
    ),
    Operation(
        "get", "/jobs/{job_id}/events", "listJobEvents", "jobs", "The history of a job", EventList,
        query=parameters.EventParameters, problems=(400, 404, 503),
    ),
    Operation(
        "get", "/jobs/{job_id}/attempts", "listJobAttempts", "jobs",
        "Every attempt at a job: its worker, times, outcome and error", AttemptList,
        query=parameters.EventParameters, problems=(400, 404, 503),
    ),
    Operation(
        "get", "/jobs/{job_id}/why", "explainJob", "jobs",
        "Why it waits, ran more than once, was delayed, replaced, cancelled or given up", Why,
        problems=(400, 404, 410, 503),
    ),
    Operation(
        "post", "/jobs/{job_id}/cancel", "cancelJob", "jobs",
        "Cancel a job: a waiting one at once, a running one by asking its worker", Outcome,
        body=By, body_required=False, problems=(*_BODY, 403, 404, 409, 503),
    ),
    Operation(
        "post", "/jobs/{job_id}/retry", "retryJob", "jobs",
        "Run a failed or cancelled job again, with fresh attempts", Outcome,
        body=By, body_required=False, problems=(*_BODY, 403, 404, 409, 503),
    ),
    Operation(
        "post", "/jobs/{job_id}/discard", "discardJob", "jobs",
        "Take a failed job from the dead letters; it stays failed", Outcome,
        body=By, body_required=False, problems=(*_BODY, 403, 404, 409, 503),
    ),
    Operation(
        "post", "/jobs/{job_id}/reschedule", "rescheduleJob", "jobs",
        "Give a waiting job another time to run; a delay of 0 runs it now", Outcome,
        body=Reschedule, problems=(*_BODY, 403, 404, 409, 422, 503),
        example={"delay": 0, "actor": "ada", "reason": "the mail server is back"},
    ),
    Operation(
        "post", "/jobs/actions", "actOnJobs", "jobs",
        "Cancel, retry, reschedule or discard all jobs that match a filter, or say how many",
        ActionResult,
        body=Action, problems=(*_BODY, 403, 422, 503),
        example={"action": "retry", "filter": {"type": "email.send"}, "dry_run": True},
    ),
    Operation(
        "post", "/flows", "submitFlow", "flows",
        "Submit jobs that wait for each other; all are checked before any is accepted",
        FlowAccepted, 201, body=Flow, problems=(*_BODY, 409, 422, 503), also=(200,), keyed=True,
        example={"batch": [_EXAMPLE, _EXAMPLE], "then": {"type": "report"}},
    ),
    Operation(
        "get", "/flows", "listFlows", "flows", "List flows, newest first", FlowList,
        query=parameters.FlowsParameters, problems=(400, 503),
    ),
    Operation(
        "get", "/flows/{flow_id}", "getFlow", "flows", "How a flow stands: its jobs by state",
        FlowView, problems=(400, 404, 503),
    ),
    Operation(
        "get", "/flows/{flow_id}/jobs", "listFlowJobs", "flows",
        "The nodes of its graph: its jobs with their states", FlowNodes,
        query=parameters.FlowPageParameters, problems=(400, 404, 503),
    ),
    Operation(
        "get", "/flows/{flow_id}/edges", "listFlowEdges", "flows",
        "The edges of its graph: who waits for whom", FlowEdges,
        query=parameters.FlowPageParameters, problems=(400, 404, 503),
    ),
    Operation(
        "post", "/flows/{flow_id}/jobs", "addFlowJobs", "flows",
        "Add jobs to the batch of an open flow", Receipts, 201,
        body=FlowAddition, problems=(*_BODY, 404, 409, 422, 503), also=(200,), keyed=True,
        example={"jobs": [_EXAMPLE], "close": True},
    ),
    Operation(
        "post", "/flows/{flow_id}/close", "closeFlow", "flows",
        "Close an open flow: no more jobs are added", FlowView,
        body=By, body_required=False, problems=(*_BODY, 403, 404, 409, 503),
    ),
    Operation(
        "post", "/flows/{flow_id}/cancel", "cancelFlow", "flows",
        "Cancel all jobs of a flow that have not ended", FlowCancelled,
        body=By, body_required=False, problems=(*_BODY, 403, 404, 503),
    ),
    Operation(
        "get", "/dead-letters", "listDeadLetters", "jobs",
        "Failed jobs that are alike, group by group, latest failure first", DeadLetterList,
        query=parameters.DeadLetterParameters, problems=(400, 503),
    ),
    Operation(
        "get", "/events", "listEvents", "events",
        "The event log, archived or not: by seq in a queue, by time over several", EventFeed,
        query=parameters.LogParameters, problems=(400, 404, 410, 422, 503),
    ),
    Operation(
        "get", "/events/stream", "streamEvents", "events",
        "Events as they come: server-sent events whose `data` is an event", EventView,
        query=parameters.StreamParameters, problems=(400, 404, 422, 503),
        media="text/event-stream",
    ),
    Operation(
        "get", "/queues", "listQueues", "queues", "Queues by name: their mode and depth",
        QueueList, query=QueueParameters, problems=(400, 503),
    ),
    Operation(
        "get", "/queues/{queue}", "getQueue", "queues", "One queue: its mode and depth",
        QueueView, problems=(400, 404, 503),
    ),
    Operation(
        "patch", "/queues/{queue}", "configureQueue", "queues",
        "Change its limits; what is left out stays, null takes a limit away", Configured,
        body=Configure, problems=(*_BODY, 403, 503),
        example={"concurrency_per_key": 1,
                 "types": {"email.send": {"rate": {"limit": 100, "per": 60}}}},
    ),
    Operation(
        "get", "/queues/{queue}/counts", "countQueue", "queues",
        "How many of its jobs were in which state at an instant", CountsView,
        query=parameters.CountsParameters, problems=(400, 404, 410, 422, 503),
    ),
    Operation(
        "get", "/queues/{queue}/diff", "diffQueue", "queues",
        "How its counts differ between two instants", CountsDifference,
        query=parameters.BetweenParameters, problems=(400, 404, 410, 422, 503),
    ),
    *(
        Operation(
            "post", f"/queues/{{queue}}/{verb}", f"{verb}Queue", "queues", summary, ModeChange,
            body=By, body_required=False, problems=(*_BODY, 403, 404, 503),
        )
        for verb, summary in (
            ("pause", "Give none of its jobs to workers any more; it takes jobs all the same"),
            ("resume", "Take jobs and give them to workers again"),
            ("drain", "Take no jobs any more; what it has is run"),
        )
    ),
    Operation(
        "post", "/queues/{queue}/purge", "purgeQueue", "queues",
        "Cancel the jobs that wait in it, or say how many; running ones stay", PurgeResult,
        body=Purge, body_required=False, problems=(*_BODY, 403, 404, 503),
    ),
    Operation(
        "get", "/workers", "listWorkers", "workers", "Workers that reported, and how they do",
        WorkerList, problems=(400, 503),
    ),
    Operation(
        "get", "/job-types", "listJobTypes", "workers",
        "Job types that workers announced, with defaults and schemas", JobTypeList,
        problems=(400, 503),
    ),
    Operation(
        "get", "/jobs/stats/summary", "summarize", "statistics",
        "Jobs by state, success rate, percentiles of waiting and running", SummaryView,
        query=parameters.SummaryParameters, problems=(400, 503),
    ),
    *SCHEDULES,
    Operation(
        "post", "/subjects/erase", "eraseSubject", "subjects",
        "Make unreadable, for good, what was encrypted for a subject", Erased,
        body=Erase, problems=(*_BODY, 403, 404, 422, 503),
        example={"subject": "customer-4711", "actor": "dpo", "reason": "she asked for it"},
    ),
    Operation(
        "get", "/holds", "listHolds", "retention", "What is kept whatever its age", HoldList,
        query=HoldsParameters, problems=(400, 503),
    ),
    Operation(
        "post", "/holds", "placeHold", "retention",
        "Keep the jobs of a queue or with a tag, or one job, until the hold is released", HoldView,
        201, body=PlaceHold, problems=(*_BODY, 403, 404, 409, 503),
        example={"name": "case-7", "tag": "customer-4711", "reason": "letter of 3 May"},
    ),
    Operation(
        "post", "/holds/{name}/release", "releaseHold", "retention",
        "Let go what is old enough", Released,
        body=By, body_required=False, problems=(*_BODY, 403, 404, 503),
    ),
    Operation(
        "get", "/events/{position}/proof", "proveEvent", "audit",
        "That an event is in the archive as it was sealed: hashes up to a signed head", ProofView,
        problems=(400, 404, 409, 503),
    ),
    Operation(
        "get", "/audit", "getAudit", "audit",
        "Live jobs that are lost, doubled or stuck, each named", AuditList, problems=(400, 503),
    ),
    Operation(
        "get", "/health", "getHealth", "health",
        "Every dependency, and the projection's lag by partition", Health,
        problems=(400,), also=(503,),
    ),
    Operation(
        "get", "/livez", "isAlive", "health", "Whether this process serves", Status,
        problems=(400,),
    ),
    Operation(
        "get", "/readyz", "isReady", "health", "Whether jobs can be submitted here", Status,
        problems=(400,), also=(503,),
    ),
)  # fmt: skip
"""All of them but `/metrics`, which has a format of its own."""
