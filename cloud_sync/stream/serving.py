"""Where the cloud's end of one gallery stream stands."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from cloud_sync.gallery import Change, PutSetting, PutTemplate
from cloud_sync.stream.credit import Credit, Sent
from cloud_sync.stream.messages import PROTOCOL, Digest, Hello, Resume, Snapshot
from cloud_sync.stream.serve_signals import Compared, Effect
from cloud_sync.stream.view import PART_ITEMS, Head


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """How patiently an edge is served."""

    bookmark_s: float = 10.0
    """Between two bookmarks, seconds, above 0; the edge hangs up after 30 s of silence."""
    ack_s: float = 30.0
    """An edge that does not acknowledge a chunk for so long is hung up, seconds, above 0."""
    batch_s: float = 0.1
    """After a chunk of puts the next ones are gathered for so long, seconds, 0 to 5: a rush hour's
    views change many times a second. What shuts somebody out never waits for it, nor does a rider
    who comes after a pause."""

    def __post_init__(self) -> None:
        """Refuse times that would spin.

        Raises:
            ValueError: A figure is out of its range.
        """
        if self.bookmark_s <= 0 or self.ack_s <= 0 or not 0 <= self.batch_s <= 5:
            raise ValueError(f"not a way to serve: {self}")


@dataclass(frozen=True, slots=True)
class Serving:
    """Where the cloud's end of one stream stands."""

    hello: Hello
    config: ServeConfig
    head: Head | None = None
    plan: Resume | Snapshot | None = None
    acked_rev: int = 0
    sent_rev: int = 0
    next_index: int = 0
    """The chunk of a snapshot that is sent next."""
    credit: Credit = field(default_factory=Credit)
    next_nonce: int = 1
    batch_due_s: float = 0.0
    """Before this moment a few changes wait for more."""
    is_reading: bool = False
    urgent_rev: int = 0
    """Up to here what shuts somebody out has been sent ahead of its revision."""
    is_expelling: bool = False
    """The log is being searched for it."""
    nacks: Mapping[bytes, int] = field(default_factory=lambda: MappingProxyType({}))
    """How often each item was refused on this stream."""
    bad_hashes: int = 0
    bookmark_due_s: float = 0.0
    is_leased: bool = False
    """Whether a lease was offered since the edge caught up first."""
    snapshot_heard_s: float = 0.0
    """When the edge last said something of its snapshot, or was told of it."""


_WAKE_S = 1e-3
"""A driver may wake by so much too early, seconds, and must not be sent to sleep for less."""
Step = tuple[Serving, tuple[Effect, ...]]


def base(state: Serving) -> int:
    """Return where the edge will stand once all that was sent is applied."""
    return state.plan.rev if isinstance(state.plan, Snapshot) else state.sent_rev


def is_gathering(state: Serving, now_s: float) -> bool:
    """Return whether the changes that wait are few, and the last chunk of such was just now.

    Args:
        state: With a plan and a head.
        now_s: Monotonic seconds.
    """
    plan, head = state.plan, state.head
    if not isinstance(plan, Resume) or plan.protocol < PROTOCOL or head is None:
        return False  # the older protocol has no way past the line for what is urgent
    few = 0 < head.head_rev - state.sent_rev < PART_ITEMS
    return few and now_s < state.batch_due_s - _WAKE_S


def stands_at(state: Serving, found: Digest | Compared) -> bool:
    """Return whether the edge is at this revision and nothing is on its way to it."""
    plan = state.plan
    if not isinstance(plan, Resume) or plan.protocol < PROTOCOL:
        return False
    here = (plan.epoch, state.acked_rev)
    return (found.epoch, found.rev) == here and state.sent_rev == state.acked_rev


def size_of(changes: Iterable[Change]) -> int:
    """Return about how many bytes changes take on the wire."""
    sizes = {PutTemplate: 76, PutSetting: 50}
    total = 0
    for change in changes:
        total += sizes.get(type(change), 64)
        match change:
            case PutTemplate(template):
                total += 2 * template.vector.size
            case PutSetting(setting):
                total += len(setting.body)
    return total


def sent(state: Serving, size: int, now_s: float) -> Serving:
    """Note a message of about so many bytes as on its way, under the next nonce."""
    message = Sent(state.next_nonce, state.next_index, size, now_s)
    return replace(state, credit=state.credit.sent(message), next_nonce=state.next_nonce + 1)
