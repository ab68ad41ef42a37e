"""The cloud: its database with a standby and a backup, its streams, its riders' standing."""

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from cloud_sync.adapters.grpc.mending import Digests, Mending
from cloud_sync.adapters.grpc.shelf import Parcel, parcel
from cloud_sync.adapters.memory.master import MemoryMasterGallery
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.gallery import Change, DropTemplate, PutTemplate
from cloud_sync.master.gallery import Activate, Erase, PutMaster, Withdraw
from cloud_sync.stream import serve_view
from cloud_sync.stream.digest import open_key
from cloud_sync.stream.messages import (
    Ack,
    Bookmark,
    Chunk,
    Digest,
    FromCloud,
    FromEdge,
    Hello,
    Refusal,
    Repair,
)
from cloud_sync.stream.serve_view import ServeConfig, Serving
from cloud_sync.stream.view import HistoryGone, NeedsSnapshot
from cloud_sync.taps.tap_log import Batch
from tests.sim import checks
from tests.sim.parts import START, node_of
from tests.sim.wire import Link
from tests.templates import SPACE

if TYPE_CHECKING:
    from tests.sim.node import Node
    from tests.sim.world import World

TICK_S = 1.0
"""Between two looks at the clock at least, seconds, as in the shipped session."""
KEEPALIVE_S = 15.0
"""After so long the transport notices a line that swallows everything, seconds."""
INBOX_MAX = 32
"""Messages of an edge that wait while its stream waits for a place, as in the shipped session."""


class DatabaseAway(Exception):
    """The database does not answer."""


@dataclass(slots=True)
class Session:
    """One stream."""

    link: Link
    hello: Hello
    state: Serving
    parcel: Parcel | None = None
    has_place: bool = False
    is_waiting: bool = False
    inbox: list[serve_view.Event] = field(default_factory=list)
    mending: Mending | None = None
    sent_nonce: int = 0
    answered_nonce: int = 0
    is_gathering: bool = False


@dataclass(slots=True)
class Copy:
    """The database as it stood once, on the standby or in a backup."""

    views: MemoryViewLog
    master: MemoryMasterGallery
    taps: int


class Cloud:
    """One serving process on one database."""

    def __init__(self, world: "World") -> None:
        """Serve from now on."""
        self.world = world
        self.is_up = True
        self.has_database = True
        self.sessions: dict[Link, Session] = {}
        self.waiting: list[Session] = []
        self.places = world.options.snapshots_max
        self.kept: dict[str, Parcel] = {}
        self.epochs = 0
        self.digests = Digests()
        self.losses = 0
        """How often history was lost."""
        self.views = world.parts.views(self.new_epoch, dimension=SPACE.dimension)
        self.master = MemoryMasterGallery(dimension=SPACE.dimension)
        self.nodes = {}
        self.config = ServeConfig(bookmark_s=world.options.bookmark_s)
        self.cut_after: int | None = None
        for node in world.nodes:
            admitted = node_of(int(node.edge_id[5:]), node.station_id)
            self.nodes[node.edge_id] = admitted
            self.views.admit(admitted, START)
        self.stations = tuple(sorted({node.station_id for node in world.nodes}))
        for station in self.stations:
            self.views.set_lease(station, world.options.lease_s)
        self.tap_log = world.parts.taps(self.nodes)
        self.ledger: list[tuple[UUID, int, bool]] = []
        """The erasure ledger, off the database: rider, last version, whether for good."""
        self.standby = self.copied()
        self.backup = self.copied()

    def new_epoch(self) -> UUID:
        """Name a history."""
        self.epochs += 1
        return UUID(int=0xE << 64 | self.epochs)

    def wall(self) -> datetime:
        """Return the cloud's time."""
        return START + timedelta(seconds=self.world.now)

    # The database.

    def copied(self) -> Copy:
        """Return the database as it stands."""
        views = MemoryViewLog(self.new_epoch, dimension=SPACE.dimension)
        views.become(self.views)
        return Copy(views, _twin(self.master), len(self.tap_log._log))

    def lose_history(self, to: Copy) -> None:
        """Go on from a copy that lacks the latest, under a new epoch."""
        self.losses += 1
        self.end_all()
        self.views.become(to.views)
        self.master = _twin(to.master)
        self.tap_log.lose_after(to.taps)
        self.kept.clear()
        self.start_epoch()
        self.replay_ledger()
        checks.history_lost(self.world)
        checks.withdrawn_is_nowhere(self.world)
        checks.no_tap_lost(self.world)

    def start_epoch(self) -> None:
        """Name the new history."""
        for station in self.stations:
            self.views.renew_epoch(station, self.new_epoch())

    def replay_ledger(self) -> None:
        """Erase again whom the copy still holds, before anything is served."""
        kept = {
            line.rider_ref: line.version
            for line in self.master.changes_since(0, 1 << 20).lines
            if line.template is not None
        }
        for ref, version, is_final in self.ledger:
            if is_final or kept.get(ref, version + 1) <= version:
                self.master.apply([Withdraw(ref, START) if is_final else Erase(ref)], START)
                self.drop(ref, self.holders(ref))

    def database(self) -> None:
        """Fail where the database is away."""
        if not self.has_database:
            raise DatabaseAway

    # The riders.

    def holders(self, ref: UUID) -> list[str]:
        """Return the stations whose view holds a rider."""
        key = b"r" + ref.bytes
        return [name for name in self.stations if key in self.views._views[name].items]

    def enroll(self, put: PutTemplate, stations: Sequence[str]) -> None:
        """Take a rider's template and give it to stations."""
        ref = put.template.rider_ref
        self.master.apply([PutMaster(put.template), Activate(ref)], START)
        self.publish(stations, [put])

    def give(self, puts: Sequence[PutTemplate], stations: Sequence[str]) -> None:
        """Give templates to stations, of those riders who may be held now."""
        active = self.may_be_held([put.template.rider_ref for put in puts])
        puts = [put for put in puts if put.template.rider_ref in active]
        if puts and stations:
            self.publish(stations, puts)

    def may_be_held(self, refs: Sequence[UUID]) -> frozenset[UUID]:
        """Ask the master gallery, in the transaction that publishes."""
        return self.master.active(refs)

    def forget(self, ref: UUID, version: int, *, is_final: bool) -> None:
        """Erase a rider, for good or until they enroll again."""
        self.ledger.append((ref, version, is_final))
        self.master.apply([Withdraw(ref, START) if is_final else Erase(ref)], START)
        self.drop(ref, self.holders(ref))

    def drop(self, ref: UUID, stations: Sequence[str]) -> None:
        """Take a rider out of some views."""
        if stations:
            self.publish(stations, [DropTemplate(ref)])

    def publish(self, stations: Sequence[str], changes: Sequence[Change]) -> None:
        """Change views, and wake who follows them."""
        self.views.publish(stations, changes)
        checks.published(self.world, stations, changes)
        for station in stations:
            self.announce(station)

    def announce(self, station: str) -> None:
        """Let the streams of a station know; sometimes the notice is lost."""
        if self.world.wire.copies():
            self.world.after(self.world.rng.random() * 0.05, self.wake, station)

    def wake(self, station: str) -> None:
        """Look at a view that may have changed."""
        for session in list(self.sessions.values()):
            if session.hello.station_id == station and not session.is_waiting:
                self.takes(session, None)

    def compact(self, keep: int) -> None:
        """Forget old lines."""
        for station in self.stations:
            self.views.compact(station, self.wall(), keep=keep)

    # The taps.

    def take_taps(self, node: "Node", ticket: object, batch: Batch) -> None:
        """Store a batch and answer."""
        if not (self.is_up and self.has_database):
            self.world.answer(node, ticket, node.not_sent)
            return
        receipt = self.tap_log.ingest(batch, self.wall())
        checks.acknowledged_is_stored(self.world, batch, receipt)
        self.world.answer(node, ticket, node.sent, batch, receipt, self.losses)

    # The streams.

    def hears(self, link: Link, message: FromEdge) -> None:
        """Take a message of an edge."""
        if not self.is_up:
            return
        session = self.sessions.get(link)
        if isinstance(message, Hello):
            if session is None:
                self.greet(link, message)
        elif session is not None:
            if isinstance(message, Ack) and message.nonce > 0:
                session.answered_nonce = max(session.answered_nonce, message.nonce)
            elif not isinstance(message, Digest):
                session.answered_nonce = session.sent_nonce
            self.takes(session, serve_view.Heard(message))

    def greet(self, link: Link, hello: Hello) -> None:
        """Begin a stream."""
        session = Session(link, hello, Serving(hello, self.config))
        self.sessions[link] = session
        self.world.after(self.world.rng.random() * TICK_S, self.tick, session)
        try:
            self.database()
        except DatabaseAway:
            self.end(session)
            return
        head = self.views.head(hello.station_id)
        verdict = self.world.parts.plan(hello, self.views.edge(link.edge_id), head)
        if isinstance(verdict, NeedsSnapshot):
            self.world.books.count("snapshots")
            event = self.snapshot(session)
            if event is None:
                return
        else:
            self.world.books.count(type(verdict).__name__)
            event = serve_view.Planned(verdict, head)
        self.takes(session, event)

    def tick(self, session: Session) -> None:
        """Look at the clock, when something is due by it."""
        if self.sessions.get(session.link) is not session:
            return
        if session.is_waiting:
            self.sign_of_life(session)
            due_s = self.config.bookmark_s
        else:
            self.takes(session, serve_view.Tick())
            due_s = session.state.bookmark_due_s - self.world.now
        self.world.after(min(max(due_s, TICK_S), self.config.bookmark_s), self.tick, session)

    def takes(self, session: Session, event: serve_view.Event | None) -> None:
        """Take an event and what follows; None stands for a look at the view."""
        if session.is_waiting and event is not None:
            if len(session.inbox) < INBOX_MAX:
                session.inbox.append(event)
            return
        try:
            self.database()
            if event is None:
                head = self.views.head(session.hello.station_id)
                event = serve_view.HeadSeen(head) if head else serve_view.Gone()
            events = deque((event,))
            while events and self.sessions.get(session.link) is session:
                session.state, effects = self.world.parts.serve(
                    session.state, events.popleft(), self.world.now
                )
                for effect in effects:
                    self.maybe_die()
                    if self.sessions.get(session.link) is not session:
                        break
                    answer = self.does(session, effect)
                    if answer is not None:
                        events.append(answer)
        except DatabaseAway:
            self.end(session)
        checks.bounded(session)
        self.gather(session)

    def gather(self, session: Session) -> None:
        """Look at the clock again as soon as what is gathered goes out."""
        wait_s = serve_view.patience_s(session.state, self.world.now)
        if wait_s is not None and not session.is_gathering:
            session.is_gathering = True
            self.world.after(wait_s, self.gathered, session)

    def gathered(self, session: Session) -> None:
        """Send what was gathered, if the stream is still there."""
        session.is_gathering = False
        if self.sessions.get(session.link) is session:
            self.takes(session, serve_view.Tick())

    def maybe_die(self) -> None:
        """Die here if it is due: the transaction is committed or not, nothing between."""
        if self.cut_after is None:
            return
        self.cut_after -= 1
        if self.cut_after < 0:
            self.die(self.world.rng.uniform(1.0, 10.0))
            raise DatabaseAway

    def does(self, session: Session, effect: serve_view.Effect) -> serve_view.Event | None:
        """Perform an effect."""
        match effect:
            case serve_view.Send(message):
                self.send(session, message)
            case serve_view.SendPart(nonce, index, span):
                assert session.parcel is not None
                self.send(session, session.parcel.chunk(nonce, index, span))
            case serve_view.SendRepair():
                assert session.mending is not None
                self.send(session, session.mending.repair(effect))
            case serve_view.TakeSnapshot():
                self.let_go(session)
                session.hello = replace(session.hello, staged_root=b"", staged_chunks=0)
                return self.snapshot(session)
            case serve_view.LetSnapshotGo():
                self.let_go(session)
            case serve_view.ReadAbsent(rev):
                edge_id, station = session.link.edge_id, session.hello.station_id
                return serve_view.UrgentRead(rev, self.views.absent(edge_id, station, rev))
            case serve_view.HangUp():
                self.end(session)
            case _:
                return self.consults(session, effect)
        return None

    def consults(  # noqa: PLR0911  # one an effect
        self, session: Session, effect: serve_view.Effect
    ) -> serve_view.Event | None:
        """Perform an effect on the database."""
        edge_id, station = session.link.edge_id, session.hello.station_id
        match effect:
            case serve_view.Read(epoch, from_rev, limit):
                try:
                    some = min(limit, self.world.options.page)
                    return serve_view.PageRead(self.views.read(station, epoch, from_rev, some))
                except HistoryGone:
                    return serve_view.Gone()
            case serve_view.ReadUrgent(epoch, base_rev, from_rev):
                try:
                    found = self.views.urgent(station, epoch, from_rev)
                    return serve_view.UrgentRead(base_rev, found)
                except HistoryGone:
                    return serve_view.Gone()
            case serve_view.Compare(digest):
                session.mending = session.mending or Mending(self.views, station, self.digests)
                return session.mending.compared(digest, open_key(station, digest.epoch))
            case serve_view.NoteDivergence():
                self.world.books.count("diverged")
            case serve_view.NoteAck(epoch, rev):
                self.views.acknowledge(edge_id, epoch, rev, self.wall())
                checks.acknowledged_is_held(self.world, edge_id)
            case serve_view.OfferLease(length):
                return self.lease(session, length)
            case serve_view.Quarantine(digest, detail):
                self.quarantine(station, digest, detail)
        return None

    def lease(self, session: Session, length: timedelta) -> serve_view.LeaseOffered:
        """Note a lease, then offer it."""
        now = self.wall()
        until = now + length
        head = self.views.offer_lease(session.link.edge_id, until)
        self.world.books.offered[session.link.edge_id, until].add((head.epoch, head.head_rev))
        return serve_view.LeaseOffered(head, until, now)

    def quarantine(self, station: str, digest: bytes, detail: str) -> None:
        """Take an item out, and call a person."""
        self.world.books.alarms.add(digest)
        self.world.books.count("quarantined")
        self.views.quarantine(station, digest, detail, self.wall())
        self.announce(station)

    def snapshot(self, session: Session) -> serve_view.Event | None:
        """Take the view for an edge, or let it wait for a place."""
        if self.sessions.get(session.link) is not session:
            return None
        if self.places == 0:
            session.is_waiting = True
            self.waiting.append(session)
            self.sign_of_life(session)
            return None
        self.places -= 1
        session.has_place = True
        station, hello = session.hello.station_id, session.hello
        head = self.views.head(station)
        assert head is not None
        kept = self.kept.get(station)
        if kept is None or not _still_good(
            kept, head.epoch, head.head_rev, head.compacted_rev, hello
        ):
            kept = parcel(self.views.whole(station), size=self.world.options.page)
            self.kept[station] = kept
        session.parcel = kept
        is_begun = kept.snapshot.root_hash == hello.staged_root
        return serve_view.Planned(kept.snapshot, head, hello.staged_chunks if is_begun else 0)

    def sign_of_life(self, session: Session) -> None:
        """Tell an edge that waits that it is not forgotten; this renews nothing."""
        offered = self.lease(session, timedelta(0))
        self.send(session, Bookmark(offered.head.epoch, 0, offered.until, offered.cloud_time))

    def let_go(self, session: Session) -> None:
        """Give the place to the next one."""
        session.parcel = None
        if session in self.waiting:
            self.waiting.remove(session)
        if not session.has_place:
            return
        session.has_place = False
        self.places += 1
        if self.waiting and self.is_up and self.has_database:
            following = self.waiting.pop(0)
            following.is_waiting = False
            event = self.snapshot(following)
            waited, following.inbox = following.inbox, []
            for each in (event, *waited):
                if each is not None:
                    self.takes(following, each)

    def send(self, session: Session, message: FromCloud) -> None:
        """Give a message to the wire."""
        if isinstance(message, Chunk | Repair) and message.nonce:
            session.sent_nonce = message.nonce
        if isinstance(message, Chunk):
            if self.world.books.damaged:
                message = self.judged(message)
            if self.world.wire.spoils():
                message = replace(message, intact=False)
        node = self.world.node(session.link.edge_id)
        self.world.wire.carry(session.link, "down", node.hears, message)

    def judged(self, chunk: Chunk) -> Chunk:
        """Return a chunk as the edge's wire adapter reads it: what no edge may take is listed."""
        damaged = self.world.books.damaged
        if not any(digest in damaged for digest in chunk.hashes):
            return chunk
        pairs = list(zip(chunk.changes, chunk.hashes, strict=True))
        kept = [pair for pair in pairs if pair[1] not in damaged]
        refusals = [
            Refusal(digest, damaged[digest], "damaged") for _, digest in pairs if digest in damaged
        ]
        changes, hashes = (tuple(part) for part in zip(*kept, strict=True)) if kept else ((), ())
        return replace(chunk, changes=changes, hashes=hashes, refusals=tuple(refusals))

    # The process.

    def lose(self, link: Link, *, dark: bool) -> None:
        """Lose a line; where it is dark the cloud notices by its transport's ping."""
        if dark:
            link.is_dark = True
            self.world.after(KEEPALIVE_S, self.lose_now, link)
        else:
            self.lose_now(link)

    def lose_now(self, link: Link) -> None:
        """Hear that a line is gone, at both ends."""
        link.is_open = False
        session = self.sessions.pop(link, None)
        if session is not None:
            self.let_go(session)
        self.world.node(link.edge_id).hung_up(link)

    def end(self, session: Session) -> None:
        """Hang up."""
        self.lose_now(session.link)

    def end_all(self) -> None:
        """Hang up on everybody."""
        self.waiting.clear()
        for session in list(self.sessions.values()):
            self.end(session)

    def die(self, down_s: float) -> None:
        """Lose what was not in the database; start again after a while."""
        self.world.say(None, "the cloud dies", lambda: f"for {down_s:.0f} s")
        self.cut_after = None
        self.is_up = False
        self.end_all()
        self.kept.clear()
        self.world.after(down_s, self.start)

    def start(self) -> None:
        """Serve again."""
        self.is_up = True


def _twin(master: MemoryMasterGallery) -> MemoryMasterGallery:
    """Return a copy that goes its own way."""
    twin = copy.copy(master)
    for name, value in vars(master).items():
        setattr(twin, name, dict(value) if isinstance(value, dict) else value)
    return twin


def _still_good(kept: Parcel, epoch: UUID, head_rev: int, compacted_rev: int, hello: Hello) -> bool:
    """Return whether a kept snapshot may be sent, by the rule of the shipped shelf."""
    if kept.whole.epoch != epoch:
        return False
    is_begun = kept.snapshot.root_hash == hello.staged_root
    return kept.whole.rev == head_rev or (is_begun and kept.whole.rev >= compacted_rev)
