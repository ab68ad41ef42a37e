"""Two look-alikes cannot enroll past each other, whichever process each of them meets."""

import threading
from datetime import datetime
from uuid import UUID

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres.master_follower import MasterFollower
from enroll.adapters.postgres import PostgresRiderStore
from enroll.enrollment import Enrollment, EnrollmentConfig
from enroll.lookalike import LookalikeConfig
from enroll.store import Dossier
from tests.cloud_city import small_city
from tests.riders import FACE_CONSENTS, direction, takes

ROUNDS = 3


def enroll_twins(engine: sa.Engine, noon: datetime) -> int:
    """Let pairs of twins add their first photos at the same moment; return how many were found.

    Each twin of a pair meets another process, with an index of its own.
    """
    offices = [
        Enrollment(
            PostgresRiderStore(engine, small_city(), lambda _: None),
            EnrollmentConfig(),
            LookalikeConfig(),
        )
        for _ in range(2)
    ]
    for turn in range(ROUNDS):
        start = threading.Barrier(2)

        def enroll(place: int, turn: int = turn, start: threading.Barrier = start) -> None:
            office, ref = offices[place], UUID(int=2 * turn + place + 1)
            office.create(ref=ref, name="", minor=False, key_hash=ref.bytes * 2, now=noon)
            for purpose in FACE_CONSENTS:
                office.choose(ref, purpose, given=True, now=noon)
            face = direction(turn)
            look = face if place == 0 else direction(100 + turn, near=face, cosine=0.8)
            start.wait(20)
            added = office.add_photo(ref, b"", assess=takes(look), photo_id=ref, now=noon)
            assert isinstance(added, Dossier)

        threads = [threading.Thread(target=enroll, args=(place,)) for place in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return len(offices[0].store.open_pairs())


def test_twins_who_enroll_at_once_are_found(engine: sa.Engine, noon: datetime) -> None:
    """Of each pair the second unit sees the first one's template."""
    assert enroll_twins(engine, noon) == ROUNDS


def test_an_index_that_does_not_read_on_finds_nobody(
    engine: sa.Engine, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the refresh inside the unit the twins go unseen."""
    monkeypatch.setattr(MasterFollower, "refresh", lambda *_: 0)

    assert enroll_twins(engine, noon) == 0
