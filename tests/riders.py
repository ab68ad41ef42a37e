"""A rider app for tests: real photos, the real eye where installed, a clock turned by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from uuid import UUID

import numpy as np
import pytest

from edge_gate.adapters import opencv
from edge_gate.adapters.pack import open_eye
from edge_gate.eye import Eye, ModelRefused
from edge_gate.face import Embedding, Image
from enroll.adapters.pictures import OpenCvPictures
from enroll.adapters.qr import draw
from enroll.code import CodeConfig, make_key
from enroll.consent import Purpose
from enroll.enrollment import Enrollment, EnrollmentConfig
from enroll.lookalike import LookalikeConfig
from enroll.photo import Accepted, Assessor, PhotoConfig
from enroll.purse import Purse
from enroll.refusal import Refused
from enroll.store import Dossier, RiderStore
from enroll.web.desk import Desk
from enroll.welcome import issuer_key
from fare.adapters.memory import MemoryStore
from fare.adapters.memory_statements import MemoryStatements

FACE_CONSENTS = (Purpose.COLLECT, Purpose.STORE, Purpose.SEND, Purpose.PAY)
"""What riding by face needs."""
MODELS = Path(__file__).parents[1] / "models" / "files"
MONDAY = datetime(2026, 5, 4, 12, tzinfo=UTC)


@cache
def eye() -> Eye:
    """Open the real models once, or skip where they are not installed."""
    try:
        return open_eye("open", MODELS)
    except ModelRefused as error:
        pytest.skip(f"needs the installed models: {error}")


def assessor(config: PhotoConfig | None = None) -> Assessor:
    """Give the judge of photos with the real eye."""
    return Assessor(eye(), OpenCvPictures(), config or PhotoConfig())


def png(image: Image) -> bytes:
    """Give a picture as an uploaded file."""
    return opencv.encode(image, suffix=".png")


def direction(seed: int, *, near: Embedding | None = None, cosine: float = 0.0) -> Embedding:
    """Give a random unit vector of 512 values, at a given cosine to another one."""
    drawn = np.random.default_rng(seed).standard_normal(512)
    if near is not None:
        drawn -= (drawn @ near) * near
        drawn = cosine * near + np.sqrt(1 - cosine**2) * drawn / np.linalg.norm(drawn)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def takes(embedding: Embedding, *, quality: float = 0.9) -> Callable[..., Accepted | Refused]:
    """Give a judge that sees the same face in every file."""
    judged = Accepted(embedding, "test/space", quality, 1.0, b"clean picture")
    return lambda _data, _first: judged


@dataclass
class Clock:
    """Turned by hand."""

    now: datetime = MONDAY

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now


@dataclass
class Office:
    """The use cases over one store, with names instead of references."""

    store: RiderStore
    clock: Clock = field(default_factory=Clock)
    config: EnrollmentConfig = field(default_factory=EnrollmentConfig)
    dice: Random = field(default_factory=lambda: Random(7))

    @property
    def enrollment(self) -> Enrollment:
        """The use cases."""
        return Enrollment(self.store, self.config, LookalikeConfig())

    def sign_up(self, name: str, *consents: Purpose, minor: bool = False) -> UUID:
        """Create a rider with some consents."""
        ref = UUID(int=self.dice.getrandbits(128), version=4)
        self.enrollment.create(
            ref=ref, name=name, minor=minor, key_hash=self.dice.randbytes(32), now=self.clock()
        )
        for purpose in consents:
            self.enrollment.choose(ref, purpose, given=True, now=self.clock())
        return ref

    def photo(self, ref: UUID, embedding: Embedding, *, quality: float = 0.9) -> object:
        """Add a photo on which the judge sees this face."""
        return self.enrollment.add_photo(
            ref,
            b"any file",
            assess=takes(embedding, quality=quality),
            photo_id=UUID(int=self.dice.getrandbits(128), version=4),
            now=self.clock(),
        )

    def dossier(self, ref: UUID) -> Dossier:
        """Read a rider who exists."""
        found = self.store.find(ref)
        assert found is not None
        return found


def desk(store: RiderStore, *, clock: Clock | None = None, judge: Assessor | None = None) -> Desk:
    """Give everything behind the counter, with money in memory."""
    money = MemoryStore()
    names = {"S1": "North Gate", "S2": "Bell Tower", "S3": "Closed Yard"}
    dice = Random(11)
    when = clock or Clock()
    office = Office(store, when)
    return Desk(
        enrollment=office.enrollment,
        assess=judge,
        purse=Purse(money, MemoryStatements(money), names),
        stations=names,
        issuer=issuer_key(store, lambda: make_key(1, bytes(range(32)), when())),
        codes=CodeConfig(),
        draw=draw,
        clock=when,
        randomness=dice.randbytes,
    )
