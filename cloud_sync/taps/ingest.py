"""How the cloud judges a batch of taps: what is stored, what is kept aside, what is answered.

Pure. Nothing is ever thrown away: a tap is stored, is known already, or stands in quarantine for a
person to look at. Only a bad signature is asked for once more, since the transport may have done
it; what comes a second time the same was sent so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud_sync.stream.view import EdgeNode
from cloud_sync.taps.outbox import GENESIS, SealedTap
from cloud_sync.taps.signing import Intact, verify_chain
from cloud_sync.taps.tap_log import Batch, Blemish, Receipt


@dataclass(frozen=True, slots=True)
class Stored:
    """A tap in the log, as far as its neighbours need it."""

    prev_hash: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Aside:
    """A tap in quarantine, as far as it is recognised again."""

    digest: bytes
    signature: bytes
    is_settled: bool
    """Whether it counts as delivered."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the cloud holds of an outbox around and after a batch."""

    durable_seq: int = 0
    """Everything up to here is held without a gap."""
    stored: Mapping[int, Stored] = field(default_factory=dict)
    """At least the batch's places, those beside them, and all after `durable_seq`."""
    aside: Mapping[int, tuple[Aside, ...]] = field(default_factory=dict)
    """The same places."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A tap for the quarantine."""

    sealed: SealedTap
    blemish: Blemish
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to do with a batch."""

    store: tuple[SealedTap, ...]
    """New in the log, by sequence."""
    set_aside: tuple[SetAside, ...]
    """New in quarantine, or settled now; each is an alarm."""
    receipt: Receipt


@dataclass(slots=True)
class _Books:
    """What is held while a batch is worked through."""

    stored: dict[int, Stored]
    aside: dict[int, tuple[Aside, ...]]

    def digests_at(self, seq: int) -> frozenset[bytes]:
        """Return what a next tap may continue; empty when the place is not known."""
        if seq == 0:
            return frozenset((GENESIS,))
        if seq in self.stored:
            return frozenset((self.stored[seq].digest,))
        return frozenset(item.digest for item in self.aside.get(seq, ()))

    def is_held(self, seq: int) -> bool:
        """Return whether the place counts as delivered."""
        return seq in self.stored or any(item.is_settled for item in self.aside.get(seq, ()))


def judge(batch: Batch, node: EdgeNode, known: Known) -> Judgement:
    """Decide about a batch.

    Args:
        batch: As received; any order, any duplicates.
        node: The edge that sends it, by its proven identity.
        known: What the cloud holds.
    """
    books = _Books(dict(known.stored), dict(known.aside))
    store: list[SealedTap] = []
    set_aside: list[SetAside] = []
    is_forked = False
    for sealed in sorted(batch.taps, key=lambda sealed: sealed.seq):
        digest = sealed.digest()
        held = books.stored.get(sealed.seq)
        if held is not None and held.digest == digest:
            continue
        blemish = _blemish(sealed, digest, node, books)
        if batch.is_suspect and blemish is not Blemish.BAD_SIGNATURE:
            blemish = Blemish.REVOKED
        if blemish is None:
            books.stored[sealed.seq] = Stored(sealed.prev_hash, digest)
            store.append(sealed)
        else:
            is_forked = is_forked or blemish in (Blemish.FORK, Blemish.CONFLICT)
            set_aside.extend(_put_aside(sealed, digest, blemish, books))
    durable_seq = known.durable_seq
    while books.is_held(durable_seq + 1):
        durable_seq += 1
    is_short = any(sealed.seq > durable_seq for sealed in batch.taps)
    receipt = Receipt(durable_seq, durable_seq + 1 if is_short else 0, is_forked)
    return Judgement(tuple(store), tuple(set_aside), receipt)


def _blemish(sealed: SealedTap, digest: bytes, node: EdgeNode, books: _Books) -> Blemish | None:
    alone = Intact(sealed.seq - 1, sealed.prev_hash)
    verdict = verify_chain(
        (sealed,), outbox_id=sealed.outbox_id, after=alone, public_key=node.public_key
    )
    if not isinstance(verdict, Intact):
        return Blemish.BAD_SIGNATURE
    if sealed.seq in books.stored:
        return Blemish.CONFLICT
    if sealed.tap.station_id != node.station_id:
        return Blemish.WRONG_STATION
    before = books.digests_at(sealed.seq - 1)
    after = books.stored.get(sealed.seq + 1)
    if (before and sealed.prev_hash not in before) or (after and after.prev_hash != digest):
        return Blemish.FORK
    return None


def _put_aside(
    sealed: SealedTap, digest: bytes, blemish: Blemish, books: _Books
) -> tuple[SetAside, ...]:
    there = books.aside.get(sealed.seq, ())
    same = [item for item in there if (item.digest, item.signature) == (digest, sealed.signature)]
    if any(item.is_settled for item in same):
        return ()
    is_settled = bool(same) or blemish is not Blemish.BAD_SIGNATURE
    kept = tuple(item for item in there if item not in same)
    books.aside[sealed.seq] = (*kept, Aside(digest, sealed.signature, is_settled))
    return (SetAside(sealed, blemish, is_settled),)
