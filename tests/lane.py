"""A lane in virtual time: no thread, no sleep; the test moves the clock frame by frame."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloud_sync.adapters.memory.outbox import MemoryOutbox
from cloud_sync.content import Space
from cloud_sync.gallery import IssuerKey, PutKey, PutTemplate, Template
from cloud_sync.stream.lease import Lease
from cloud_sync.taps.signing import NodeKey
from edge_gate.adapters.memory_code_reader import MemoryCodeReader
from edge_gate.adapters.numpy_gallery import NumpyGallery
from edge_gate.adapters.sim_turnstile import SimTurnstile
from edge_gate.answer import Answer
from edge_gate.code_path import CodeReader
from edge_gate.eye import Eye
from edge_gate.face import Embedding, Frame, Image
from edge_gate.holdings import Holdings
from edge_gate.lap import Laps
from edge_gate.moment import Moment
from edge_gate.pipeline import LaneConfig, LanePipeline, Organs
from edge_gate.ride_code import issue
from edge_gate.search import Gallery
from edge_gate.tapping import Place, Tapper
from edge_gate.tiers import Tiers
from edge_gate.turnstile import Turnstile
from fare.tap import Direction

ISSUER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FPS = 15.0


@dataclass
class VirtualLane:
    """One lane with all its organs, and the clock in the test's hand."""

    noon: datetime
    eye: Eye | None
    model_id: str
    turnstile: Turnstile = field(default_factory=SimTurnstile)
    reader: CodeReader = field(default_factory=MemoryCodeReader)
    threshold: float | None = 0.5
    config: LaneConfig = field(default_factory=LaneConfig)
    make_gallery: Callable[[Space], Gallery] = NumpyGallery
    clock: Callable[[], float] | None = None
    """Times the stages; the lane's own virtual clock if not given."""
    direction: Direction = Direction.ENTRY
    clock_error_ms: int = 0
    now_s: float = 0.0
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Join the organs to a lane with a day of lease and one trusted issuer key."""
        space = Space(self.model_id)
        tiers = Tiers(self.make_gallery(space), self.make_gallery(space))
        self.holdings = Holdings(tiers, lambda _size, _target: self.threshold)
        self.holdings.apply([PutKey(IssuerKey(1, ISSUER.public_key().public_bytes_raw()))])
        self.holdings.renew(Lease(self.noon + timedelta(days=1), self.noon), None)
        self.outbox = MemoryOutbox(UUID(int=99), NodeKey(bytes(32)))
        entropy = iter(range(1, 1_000_000))
        tapper = Tapper(
            self.outbox, entropy=lambda n: next(entropy).to_bytes(n, "big"), now=self.noon
        )
        place = Place("bei", "bei-1", self.direction)
        organs = Organs(self.eye, self.reader, self.holdings, tapper, self.turnstile)
        self.pipeline = LanePipeline(
            place, organs, self.config, Laps(self.clock or (lambda: self.now_s))
        )
        self._number = 0

    @property
    def moment(self) -> Moment:
        """Now."""
        wall = self.noon + timedelta(seconds=self.now_s)
        return Moment(self.now_s, wall, self.clock_error_ms)

    def enroll(self, rider: int, look: Embedding) -> UUID:
        """Put a rider into the gallery."""
        rider_ref = UUID(int=rider)
        template = Template(rider_ref, 1, self.model_id, "plain", look)
        self.holdings.apply([PutTemplate(template)])
        return rider_ref

    def fill(self, templates: Sequence[Template]) -> None:
        """Put generated riders into the gallery."""
        self.holdings.apply([PutTemplate(template) for template in templates])
        self.holdings.gallery.seal()

    def code(self, rider: int, *, age_s: float = 0.0, nonce: int = 1) -> bytes:
        """Return a ride code, made `age_s` seconds ago."""
        return issue(
            ISSUER,
            key_id=1,
            rider_ref=UUID(int=rider),
            issued_at=self.moment.wall - timedelta(seconds=age_s),
            validity_s=60,
            nonce=nonce.to_bytes(16, "big"),
        )

    def step(self, image: Image | None, *, scans: Sequence[bytes] = ()) -> tuple[Answer, ...]:
        """Show one frame, or none, and move on by one frame's time."""
        frame = None
        if image is not None:
            frame = Frame(image, self._number, self.now_s)
            self._number += 1
        given = self.pipeline.step(frame, self.moment, scans=scans)
        self.answers += given
        self.now_s += 1 / FPS
        return given

    def play(self, seconds: float, show: Callable[[int], Image | None]) -> list[Answer]:
        """Show `show(frame index)` for so long and return the answers given."""
        given: list[Answer] = []
        for index in range(round(seconds * FPS)):
            given += self.step(show(index))
        return given


def reasons(answers: Iterable[Answer]) -> list[str]:
    """Return each answer in a word: `face`, `code`, or the reason of a refusal."""
    return [answer.reason.value if answer.reason else answer.medium.value for answer in answers]
