"""Whatever is done to events after they were sealed is named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.events import Record
from millstream.core.proof import verifier
from millstream.core.proof.heads import SignedHead
from millstream.core.proof.verifier import Span, Verdict, Verifier

from .makers import KEYS, event, seal

LOG = [event(seq) for seq in range(1, 21)]
HEADS = seal(LOG, (8, 5, 4))
BARE = seal(LOG, (8, 5, 4), leaves=False)


def verify(
    records: Iterable[Record],
    heads: Sequence[SignedHead] = HEADS,
    *,
    whole: bool = True,
    spans: dict[str, Span] | None = None,
) -> Verdict:
    checked = Verifier(heads, KEYS, whole=whole, spans=spans)
    for record in records:
        checked.take(record)
    return checked.close()


def named(verdict: Verdict) -> set[tuple[str, str]]:
    return {(one.kind, one.where) for one in verdict.findings}


def at(seq: int) -> str:
    return f"default:1:{seq}"


@pytest.mark.parametrize("heads", [HEADS, BARE])
def test_what_was_sealed_is_proved(heads: list[SignedHead]) -> None:
    verdict = verify(LOG, heads)
    assert verdict.sound
    assert (verdict.events, verdict.proved, verdict.heads) == (20, 17, 3)
    assert verdict.unsealed == {"default": 3}


@given(st.sampled_from(LOG[:17]), st.data())
def test_an_altered_event_is_named(record: Record, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(record.body) * 8 - 1))
    body = (int.from_bytes(record.body) ^ 1 << bit).to_bytes(len(record.body))
    changed = event(record.seq, body)
    log = [changed if one is record else one for one in LOG]
    assert named(verify(log)) == {("altered", at(record.seq))}
    (found,) = verify(log, BARE).findings
    assert found.kind == "altered"
    assert found.where.startswith("default#")


@pytest.mark.parametrize("field", Record.__struct_fields__[2:])
def test_every_part_of_the_envelope_counts(field: str) -> None:
    old = LOG[3]
    value = getattr(old, field)
    more = value + 1 if isinstance(value, int) else value + value[:1]
    changed = msgspec.structs.replace(old, **{field: more})
    found = named(verify([*LOG[:3], changed, *LOG[4:]]))
    if field == "epoch":  # then it stands elsewhere, before all that follow
        assert {("deleted", at(4)), ("reordered", at(5))} <= found
    else:
        assert found == {("altered", at(4))}


@given(st.sampled_from(LOG[:16]))
def test_a_deleted_event_is_named(record: Record) -> None:
    log = [one for one in LOG if one is not record]
    assert named(verify(log)) == {("deleted", at(record.seq))}
    assert ("deleted", at(record.seq)) in named(verify(log, BARE))


def test_a_deleted_segment_is_named_as_a_range() -> None:
    assert named(verify(LOG[:6] + LOG[14:])) == {
        ("deleted", "default:1:7-8"),
        ("deleted", "default:1:9-13"),
        ("deleted", at(14)),
    }


@pytest.mark.parametrize("place", [1, 8, 17])
def test_an_event_that_came_later_is_named(place: int) -> None:
    log = [*LOG[:place], event(place, b'{"n":0}'), *LOG[place:]]
    assert named(verify(log)) == {("inserted", at(place))}
    assert ("inserted", at(place)) in named(verify(log, BARE))


def test_which_of_two_is_the_true_one_is_told_by_the_leaves() -> None:
    log = [*LOG[:3], event(4, b'{"n":0}'), *LOG[3:]]
    assert named(verify(log)) == {("inserted", at(4))}


def test_an_event_outside_every_segment_is_named() -> None:
    log = [event(seq) for seq in (*range(1, 6), *range(9, 15))]
    heads = seal(log, (5, 6))
    assert verify(log, heads).sound
    assert named(verify([*log[:5], event(7), *log[5:]], heads)) == {("inserted", at(7))}


@given(st.permutations(LOG[:6]).filter(lambda some: some != LOG[:6]))
def test_another_order_is_named(some: list[Record]) -> None:
    found = named(verify([*some, *LOG[6:]]))
    assert found
    assert {kind for kind, _ in found} == {"reordered"}


def test_events_that_come_much_later_are_reordered() -> None:
    log = LOG[:3] + LOG[4:] + LOG[3:4]
    assert named(verify(log)) == {("reordered", at(4))}


def test_renumbered_events_do_not_hide_a_deletion() -> None:
    moved = [event(one.seq - 1, one.body) for one in LOG[5:]]
    found = named(verify(LOG[:4] + moved))
    assert ("altered", at(5)) in found


@given(st.integers(0, 16))
def test_truncation_is_named(kept: int) -> None:
    found = named(verify(LOG[:kept]))
    assert {kind for kind, _ in found} == {"truncated"}
    assert max(int(where.rpartition("-")[2].rpartition(":")[2]) for _, where in found) == 17


def test_truncation_of_a_partition_of_which_nothing_is_left() -> None:
    assert {one.kind for one in verify([]).findings} == {"truncated"}


def test_some_events_can_be_proved_where_the_leaves_are_known() -> None:
    some = [one for one in LOG if one.job == "job-1"]
    assert verify(some, whole=False).proved == 6
    assert verify(some, whole=False).sound
    assert {one.kind for one in verify(some, BARE, whole=False).findings} == {"unprovable"}


def test_of_a_part_of_the_log_only_that_part_is_expected() -> None:
    spans = {"default": Span((1, 6), (1, 15))}
    assert verify(LOG[5:15], spans=spans).sound
    assert named(verify(LOG[6:15], spans=spans)) == {("deleted", at(6))}
    assert named(verify(LOG[5:14], spans=spans)) == {("truncated", at(15))}
    assert verify([], spans={}).sound


def test_partitions_and_epochs_are_kept_apart() -> None:
    later = [event(seq, epoch=2) for seq in range(21, 25)]
    log = LOG + later
    heads = seal(log, (20, 4))
    other = [event(seq, partition="mails") for seq in range(1, 4)]
    assert verify([*other, *log], heads).unsealed == {"mails": 3}
    both = [*heads, *seal(other, (3,))]
    verdict = verify([log[0], other[0], *log[1:], *other[1:]], both)
    assert verdict.sound
    assert verdict.proved == 27
    assert named(verify([*log, *other[:2]], both)) == {("truncated", "mails:1:3")}


def test_memory_is_bounded_where_much_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "MOST_OPEN", 2)
    heads = seal(LOG, (4,) * 5)
    log = [one for one in LOG if one.seq % 4]
    assert named(verify(log, heads)) == {
        *(("deleted", at(seq)) for seq in (4, 8, 12, 16)), ("truncated", at(20))
    }  # fmt: skip
