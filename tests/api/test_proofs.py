"""GET /events/{position}/proof over a real archive, sealed."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from millstream.core.config import Settings
from millstream.core.events import Record
from millstream.core.proof.heads import event_hash, read_head
from millstream.core.proof.merkle import root_of_path
from millstream.projections.proof.sealer import Sealer
from tests.core.proof.makers import KEYS, SIGNER

from .conftest import Api, until


def seal(settings: Settings) -> int:
    async def run() -> int:
        sealer = Sealer(settings.postgres_dsn, SIGNER, segment=100, interval=0)
        try:
            return await sealer.turn()
        finally:
            sealer.close()

    return asyncio.run(run())


def archived(api: Api, count: int) -> str:
    """The position of the last of some jobs' submissions, once all are archived."""
    jobs = [api.submit() for _ in range(count)]
    return until(lambda: api.get(f"/jobs/{jobs[-1]}/events")["items"])[-1]["position"]


def test_a_proof_leads_to_a_signed_head(api: Api, projector: None, settings: Settings) -> None:
    position = archived(api, 5)
    early = api.client.get(f"/api/v1/events/{position}/proof")
    assert early.status_code == 409
    assert early.json()["type"].endswith("not-sealed")
    assert seal(settings) == 1
    proof: dict[str, Any] = api.get(f"/events/{position}/proof")
    assert (proof["position"], proof["intact"], proof["size"]) == (position, True, 5)
    record = msgspec.convert(proof["record"], Record)
    signed = read_head(msgspec.json.encode(proof["head"]))
    path = [bytes.fromhex(each) for each in proof["path"]]
    assert event_hash(record).hex() == proof["leaf"]
    assert root_of_path(event_hash(record), proof["index"], 5, path) == signed.head.root
    assert KEYS.verify(signed) is None


@pytest.mark.parametrize("position", ["default:1:99", "none:1:1", "default:7:1", "default:1:0"])
def test_there_is_no_proof_of_what_is_not_there(api: Api, position: str) -> None:
    assert api.client.get(f"/api/v1/events/{position}/proof").status_code == 404


@pytest.mark.parametrize("position", ["default", "default:x:1", "a:b:c:d", "default:1:"])
def test_a_bad_position_is_named(api: Api, position: str) -> None:
    answer = api.client.get(f"/api/v1/events/{position}/proof")
    assert answer.status_code == 400
    assert "expected a position such as" in answer.json()["errors"][0]["message"]


def test_huge_numbers_are_no_positions(api: Api) -> None:
    answer = api.client.get(f"/api/v1/events/default:1:{2**70}/proof")
    assert answer.status_code == 404
