"""When a face is gone everywhere, and how that is told."""

import json
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from cloud_sync.fleet.erasure import Erasure, NodeErasure, Proof, as_json, in_words, summary
from tests.fleet import NOON
from tests.templates import rider

ROBIN = Erasure(rider("Robin"), NOON, "withdraw", is_final=True)
EPOCH = UUID(int=1)


def seconds(number: float) -> datetime:
    """Return a moment after the erasure."""
    return NOON + timedelta(seconds=number)


def node(name: str, *, acked: float | None = None, lease: float | None = 86_400) -> NodeErasure:
    """Give a node that acknowledges, or whose lease ends, so many seconds after the erasure."""
    return NodeErasure(
        name,
        "bell-tower",
        EPOCH,
        7,
        None if lease is None else seconds(lease),
        None if acked is None else seconds(acked),
    )


class TestGoneAt:
    """One node: the earlier of its word and the end of its lease, never before the erasure."""

    @pytest.mark.parametrize(
        ("acked", "lease", "gone"),
        [
            (3.8, 86_400, 3.8),  # it said so
            (None, 600, 600),  # it went silent
            (900, 600, 600),  # it said so when it had no lease any more
            (None, -5, 0),  # its lease was over before
            (None, None, 0),  # it never had one
            (2.0, None, 2.0),
        ],
    )
    def test_by_word_or_by_lease(
        self, acked: float | None, lease: float | None, gone: float
    ) -> None:
        """Both bound the time, and the earlier one counts."""
        assert node("a", acked=acked, lease=lease).gone_at(NOON) == seconds(gone)


class TestProof:
    """All nodes."""

    def test_the_slowest_node_decides(self) -> None:
        """Gone everywhere is gone from the last one."""
        proof = Proof(ROBIN, (node("a", acked=1), node("b", acked=3.8), node("c", acked=2)))

        assert proof.everywhere_at == seconds(3.8)
        assert summary(proof, seconds(60)) == "gone from 3 of 3 nodes, 3.8 s"
        assert proof.is_complete(seconds(3.8))
        assert not proof.is_complete(seconds(3.7))

    def test_a_silent_node_is_missing_until_its_lease_ends(self) -> None:
        """The proof names it with the moment from which on it cannot open, and then is complete."""
        proof = Proof(ROBIN, (node("a", acked=1), node("b", lease=600)))

        early, late = in_words([proof], seconds(60)), in_words([proof], seconds(600))

        assert "gone from 1 of 2 nodes after 1 min" in early[1]
        assert early[2].endswith("its lease ends 2026-05-04T12:10:00+00:00 at the latest")
        assert "gone from 2 of 2 nodes, 10 min" in late[1]
        assert "1 of them by the end of their lease" in late[2]

    def test_a_face_that_no_node_held(self) -> None:
        """Without nodes the proof is complete at once."""
        proof = Proof(ROBIN, ())

        assert proof.everywhere_at == NOON
        assert summary(proof, NOON) == "no node held the face"

    def test_json_has_the_same_figures(self) -> None:
        """A program reads what a person reads, and no moment that has not come yet as a fact."""
        proof = Proof(ROBIN, (node("a", acked=1), node("b", lease=600)))

        early = json.loads(json.dumps(as_json(proof, seconds(60))))
        late = json.loads(json.dumps(as_json(proof, seconds(600))))

        assert (early["gone_from"], early["nodes"], early["is_complete"]) == (1, 2, False)
        assert early["erased_everywhere_at"] is None
        assert early["each"][1]["gone_at"] is None
        assert (late["gone_from"], late["seconds"]) == (2, 600.0)
        assert late["erased_everywhere_at"] == seconds(600).isoformat()
