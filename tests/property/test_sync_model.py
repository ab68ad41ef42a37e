"""A model of one edge and its cloud under loss, repetition, crash, partition and failover.

The two state machines, the view log and the replica are the shipped ones; only the wire between
them and the clocks are simulated. Each promise has a control: the same model with that protection
taken away must find a violation.
"""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cloud_sync.adapters.grpc.mending import Digests, Mending
from cloud_sync.adapters.grpc.shelf import Parcel, parcel
from cloud_sync.adapters.memory.replica import MemoryReplica
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.gallery import DropTemplate, PutTemplate
from cloud_sync.stream import follow, serve_view
from cloud_sync.stream.credit import Credit
from cloud_sync.stream.digest import open_key
from cloud_sync.stream.follow import Follower
from cloud_sync.stream.lease import Anchor, is_usable
from cloud_sync.stream.messages import FromCloud, FromEdge, Hello
from cloud_sync.stream.replica import ReplicaFailed, SnapshotRefused, WrongRevision
from cloud_sync.stream.serve_view import ServeConfig, Serving
from cloud_sync.stream.view import EdgeNode, HistoryGone, NeedsSnapshot, plan
from tests.forgetful import Forgetful
from tests.templates import SPACE, put, rider

STATION = "bell-tower"
LEASE_S = 100
START = datetime(2026, 5, 4, 6, tzinfo=UTC)
NAMES = st.sampled_from(["Ana", "Ben", "Cleo"])


class Cut(Exception):
    """The power went."""


class Sync(RuleBasedStateMachine):
    """One edge, one cloud with a standby that lags behind, one wire."""

    def __init__(self) -> None:
        """Admit the edge; nothing is connected yet."""
        super().__init__()
        self.numbers = itertools.count(1)
        self.now_s = 0
        self.wall_skew_s = 0
        self.views = self.new_views()
        self.views.admit(EdgeNode("edge-1", STATION, bytes(32)), START)
        self.views.set_lease(STATION, LEASE_S)
        self.standby = self.new_views()
        self.standby.become(self.views)
        self.disk = MemoryReplica()
        self.index: dict[UUID, int] = {}
        self.anchor: Anchor | None = None
        self.deleted: dict[UUID, int] = {}
        self.version = itertools.count(1)
        self.edge: Follower | None = None
        self.cloud: Serving | None = None
        self.up: deque[FromEdge] = deque()
        self.down: deque[FromCloud] = deque()
        self.parcel: Parcel | None = None
        self.mending = Mending(self.views, STATION, Digests())
        self.alarms = 0
        self.digest_due_s = 0.0
        self.cut_after: int | None = None

    # What a control takes away.

    def new_views(self) -> MemoryViewLog:
        """Make the cloud's views."""
        return MemoryViewLog(self.new_epoch, dimension=SPACE.dimension)

    def new_epoch(self) -> UUID:
        """Name a history."""
        return UUID(int=next(self.numbers))

    def promote(self) -> None:
        """Begin a new history on the standby."""
        self.views.renew_epoch(STATION, self.new_epoch())

    def may_use(self) -> bool:
        """Ask the lease."""
        wall = START + timedelta(seconds=self.now_s + self.wall_skew_s)
        lease = self.disk.standing().lease
        return is_usable(lease, self.anchor, wall=wall, monotonic_s=self.now_s)

    def heard_of_time(self, effect: follow.NoteTime) -> follow.Effect:
        """Take a bookmark that renews nothing."""
        return effect

    # The people.

    @rule(name=NAMES)
    def enroll(self, name: str) -> None:
        """Somebody gives a new photo."""
        self.views.publish([STATION], [put(name, version=next(self.version))])
        self.deleted.pop(rider(name), None)

    @rule(name=NAMES)
    def withdraw(self, name: str) -> None:
        """Somebody takes their consent back."""
        if rider(name) in self.held_by_cloud():
            self.views.publish([STATION], [DropTemplate(rider(name))])
            self.deleted[rider(name)] = self.now_s

    # The cloud.

    @rule()
    def replicate(self) -> None:
        """The standby catches up."""
        self.standby.become(self.views)

    @rule()
    def fail_over(self) -> None:
        """The standby takes over; what it lacks never happened."""
        self.lose_connection()
        self.views.become(self.standby)
        self.promote()
        self.standby.become(self.views)
        held = self.held_by_cloud()
        self.deleted = {who: when for who, when in self.deleted.items() if who not in held}

    @rule(keep=st.integers(0, 2))
    def compact(self, keep: int) -> None:
        """Old lines are forgotten."""
        self.views.compact(STATION, self.wall(), keep=keep)

    @rule()
    def notice(self) -> None:
        """The database announces a change."""
        head = self.views.head(STATION)
        assert head is not None
        self.cloud_takes(serve_view.HeadSeen(head))

    # The wire.

    @precondition(lambda self: self.edge is None)
    @rule()
    def connect(self) -> None:
        """The edge dials and says hello."""
        standing = self.disk.standing()
        self.edge = Follower(
            "edge-1",
            STATION,
            SPACE,
            standing.epoch,
            standing.applied_rev,
            heard_s=self.now_s,
            digest_due_s=self.digest_due_s,
        )
        self.edge_takes(follow.Connected(standing, self.wall()))

    @precondition(lambda self: self.edge is not None)
    @rule(count=st.integers(1, 6))
    def deliver_up(self, count: int) -> None:
        """Some messages of the edge arrive."""
        for _ in range(min(count, len(self.up))):
            if not self.up:
                return
            message = self.up.popleft()
            if isinstance(message, Hello):
                self.greet(message)
            else:
                self.cloud_takes(serve_view.Heard(message))

    @precondition(lambda self: self.edge is not None)
    @rule(count=st.integers(1, 6))
    def deliver_down(self, count: int) -> None:
        """Some messages of the cloud arrive."""
        for _ in range(min(count, len(self.down))):
            if not self.down:
                return
            self.edge_takes(follow.Received(self.down.popleft()))

    @precondition(lambda self: bool(self.down))
    @rule()
    def repeat_down(self) -> None:
        """A message of the cloud arrives twice."""
        self.down.appendleft(self.down[0])

    @precondition(lambda self: bool(self.up) and not isinstance(self.up[0], Hello))
    @rule()
    def repeat_up(self) -> None:
        """A message of the edge arrives twice."""
        self.up.appendleft(self.up[0])

    @rule()
    def lose_connection(self) -> None:
        """Whatever is on its way is lost."""
        self.digest_due_s = self.edge.digest_due_s if self.edge else self.digest_due_s
        self.edge = self.cloud = self.parcel = None
        self.up.clear()
        self.down.clear()

    @rule(after=st.integers(0, 2))
    def plan_a_power_cut(self, after: int) -> None:
        """The power will go at the edge, before or after one of the next effects."""
        self.cut_after = after

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        """Time passes for all."""
        self.now_s += seconds
        self.cloud_takes(serve_view.Tick())
        self.edge_takes(follow.Tick())

    @rule(skew_s=st.sampled_from([0, -30, -1_000, -1_500_000_000]))
    def turn_the_clock(self, skew_s: int) -> None:
        """Somebody turns the edge's wall clock back, or right again."""
        self.wall_skew_s = skew_s

    @rule()
    def talk(self) -> None:
        """All that is on its way arrives, and what it leads to."""
        if self.edge is None:
            self.connect()
        for _ in range(40):
            if not self.up and not self.down:
                return
            self.deliver_up(6)
            if self.edge is not None:
                self.deliver_down(6)

    # What is tried in stories alone.

    def damage(self, name: str) -> None:
        """Another template of somebody stands on the disk, at the revision that it had."""
        self.disk.damage(put(name, version=999))
        self.load()

    # Both ends.

    def greet(self, hello: Hello) -> None:
        """Let the cloud plan."""
        # A window that one chunk fills at first: what is withdrawn has to overtake the rest.
        self.cloud = Serving(hello, ServeConfig(), credit=Credit(allowance=1))
        self.mending = Mending(self.views, STATION, Digests())
        head = self.views.head(STATION)
        verdict = plan(hello, self.views.edge(hello.edge_id), head)
        if isinstance(verdict, NeedsSnapshot):
            self.cloud_takes(self.snapshot_planned())
        else:
            self.cloud_takes(serve_view.Planned(verdict, head))

    def snapshot_planned(self) -> serve_view.Event:
        """Take the view as it stands."""
        assert self.cloud is not None
        self.parcel = parcel(self.views.whole(STATION), size=1)
        announced = self.parcel.snapshot
        is_begun = announced.root_hash == self.cloud.hello.staged_root
        index = self.cloud.hello.staged_chunks if is_begun else 0
        return serve_view.Planned(announced, self.views.head(STATION), index)

    def cloud_takes(self, event: serve_view.Event) -> None:
        """Let the cloud's end take an event and what follows."""
        events: deque[serve_view.Event] = deque((event,))
        while events and self.cloud is not None:
            self.cloud, effects = serve_view.step(self.cloud, events.popleft(), self.now_s)
            for effect in effects:
                events.extend(self.cloud_does(effect))

    def cloud_does(  # noqa: C901, PLR0911, PLR0912  # one arm an effect
        self, effect: serve_view.Effect
    ) -> tuple[serve_view.Event, ...]:
        """Perform an effect of the cloud."""
        match effect:
            case serve_view.Send(message):
                self.down.append(message)
            case serve_view.SendPart(nonce, index, span):
                assert self.parcel is not None
                self.down.append(self.parcel.chunk(nonce, index, span))
            case serve_view.ReadUrgent(epoch, base_rev, from_rev):
                try:
                    found = self.views.urgent(STATION, epoch, from_rev)
                except HistoryGone:
                    return (serve_view.Gone(),)
                return (serve_view.UrgentRead(base_rev, found),)
            case serve_view.ReadAbsent(rev):
                found = self.views.absent("edge-1", STATION, rev)
                return (serve_view.UrgentRead(rev, found),)
            case serve_view.Compare(digest):
                return (self.mending.compared(digest, open_key(STATION, digest.epoch)),)
            case serve_view.SendRepair():
                self.down.append(self.mending.repair(effect))
            case serve_view.NoteDivergence():
                self.alarms += 1
            case serve_view.Read(epoch, from_rev, _):
                try:
                    page = self.views.read(STATION, epoch, from_rev, 2)
                except HistoryGone:
                    return (serve_view.Gone(),)
                return (serve_view.PageRead(page),)
            case serve_view.TakeSnapshot():
                return (self.snapshot_planned(),)
            case serve_view.NoteAck(epoch, rev):
                self.views.acknowledge("edge-1", epoch, rev, self.wall())
            case serve_view.OfferLease(length):
                until = self.true_time() + length
                head = self.views.offer_lease("edge-1", until)
                return (serve_view.LeaseOffered(head, until, self.true_time()),)
            case serve_view.HangUp():
                self.lose_connection()
        return ()

    def edge_takes(self, event: follow.Event) -> None:
        """Let the edge's end take an event and what follows, unless the power goes."""
        try:
            events = deque((event,))
            while events and self.edge is not None:
                self.edge, effects = follow.step(self.edge, events.popleft(), self.now_s)
                for effect in effects:
                    answer = self.edge_does(effect)
                    if answer is not None:
                        events.append(answer)
        except Cut:
            self.cut_after = None
            self.lose_connection()
            self.anchor = None
            self.load()

    def edge_does(self, effect: follow.Effect) -> follow.Event | None:
        """Perform an effect of the edge."""
        self.maybe_cut()
        if isinstance(effect, follow.NoteTime):
            effect = self.heard_of_time(effect)
        answer: follow.Event | None = None
        match effect:
            case follow.Say(message):
                self.up.append(message)
            case follow.RenewLease(until, cloud_time):
                self.disk.renew_lease(until, cloud_time)
                self.anchor = Anchor(cloud_time, self.now_s)
            case follow.NoteTime(cloud_time):
                self.anchor = Anchor(cloud_time, self.now_s)
            case follow.HangUp():
                self.lose_connection()
            case follow.TakeGrant():
                pass  # nothing is sealed here
            case _:
                answer = self.store(effect)
        self.maybe_cut()
        return answer

    def store(self, effect: follow.Storing) -> follow.Event | None:  # noqa: PLR0911
        """Change the disk, and the index after it."""
        try:
            match effect:
                case follow.Apply(nonce, change):
                    self.disk.apply(change)
                    self.maybe_cut()
                    self.load()
                    return follow.Applied(nonce, change.to_rev)
                case follow.BeginSnapshot(announced):
                    return follow.SnapshotBegun(self.disk.begin_snapshot(announced))
                case follow.Stage(chunk):
                    self.disk.stage(chunk.index, chunk.changes, chunk.span)
                    return follow.Staged(chunk.nonce, chunk.index, chunk.span)
                case follow.Expel(nonce, changes):
                    self.disk.expel(changes)
                    self.maybe_cut()
                    self.load()
                    return follow.Expelled(nonce)
                case follow.TakeDigest():
                    return self.digest()
                case follow.Mend(repair):
                    self.disk.mend(repair)
                    self.maybe_cut()
                    self.load()
                    return follow.Mended(repair.nonce)
                case follow.FinishSnapshot(announced):
                    self.disk.finish_snapshot()
                    self.maybe_cut()
                    self.load()
                    return follow.Replaced(announced.epoch, announced.rev)
        except (ReplicaFailed, SnapshotRefused, WrongRevision) as problem:
            return follow.Failed(0, str(problem))

    def digest(self) -> follow.Event | None:
        """Sum up the disk."""
        standing = self.disk.standing()
        assert standing.epoch is not None
        buckets = self.disk.digest(open_key(STATION, standing.epoch))
        return follow.DigestTaken(standing.epoch, standing.applied_rev, buckets)

    def maybe_cut(self) -> None:
        """Let the power go if it is due."""
        if self.cut_after is None:
            return
        if self.cut_after == 0:
            raise Cut
        self.cut_after -= 1

    def load(self) -> None:
        """Build the index that gates search from the disk."""
        self.index = {held.rider_ref: held.version for held in self.disk.load().templates}

    def wall(self) -> datetime:
        """Return what the edge's wall clock says."""
        return START + timedelta(seconds=self.now_s + self.wall_skew_s)

    def true_time(self) -> datetime:
        """Return what the cloud's clock says."""
        return START + timedelta(seconds=self.now_s)

    def head_rev(self) -> int:
        """Return the newest revision of the view."""
        head = self.views.head(STATION)
        assert head is not None
        return head.head_rev

    def held_by_cloud(self) -> dict[UUID, int]:
        """Return whom the cloud's view holds."""
        return {
            change.template.rider_ref: change.template.version
            for change in self.views.whole(STATION).changes
            if isinstance(change, PutTemplate)
        }

    # The promises.

    @invariant()
    def no_deleted_face_opens_past_the_lease(self) -> None:
        """Whoever withdrew longer than a lease ago is not usable at the edge."""
        for who, when in self.deleted.items():
            if who in self.index and self.now_s - when > LEASE_S:
                assert not self.may_use(), f"deleted {self.now_s - when} s ago"

    @invariant()
    def no_divergence_at_the_same_revision(self) -> None:
        """At the same epoch and revision edge and cloud hold the same."""
        head = self.views.head(STATION)
        assert head is not None
        standing = self.disk.standing()
        if (standing.epoch, standing.applied_rev) == (head.epoch, head.head_rev):
            assert self.index == self.held_by_cloud(), "diverged"

    @invariant()
    def the_index_is_what_is_on_disk(self) -> None:
        """Gates search what the disk holds, never half of something."""
        held = {one.rider_ref: one.version for one in self.disk.load().templates}
        assert self.index == held

    def teardown(self) -> None:
        """At the end of trouble the edge catches up, whatever happened before."""
        self.cut_after, self.wall_skew_s = None, 0
        for _ in range(6):
            self.notice()
            self.talk()
            self.now_s += 1
            self.cloud_takes(serve_view.Tick())  # what was gathered goes out
            self.talk()
        head = self.views.head(STATION)
        assert head is not None
        standing = self.disk.standing()
        assert (standing.epoch, standing.applied_rev) == (head.epoch, head.head_rev), "stuck"
        assert self.may_use(), "no lease though caught up"
        self.no_divergence_at_the_same_revision()


class WithoutEpoch(Sync):
    """The control: a promoted standby goes on under the old name."""

    def promote(self) -> None:
        """Begin nothing new."""


class WithoutLease(Sync):
    """The control: a gallery may be used for ever."""

    def may_use(self) -> bool:
        """Ask nobody."""
        return True


class LeaseForTheSlow(Sync):
    """The control: any bookmark renews, caught up or not."""

    def heard_of_time(self, effect: follow.NoteTime) -> follow.Effect:
        """Renew all the same."""
        return follow.RenewLease(effect.cloud_time + timedelta(seconds=LEASE_S), effect.cloud_time)


class TrustingTheWall(Sync):
    """The control: the lease is judged by the wall clock alone."""

    def may_use(self) -> bool:
        """Believe the wall clock."""
        until = self.disk.standing().lease.until
        return until is not None and self.wall() < until


class WithoutDigests(Sync):
    """The control: the two ends never compare what they hold."""

    def digest(self) -> follow.Event | None:
        """Say nothing."""
        return None


class WithoutExpulsions(Sync):
    """The control: the log is sent in its order, and a snapshot without a word between."""

    def cloud_does(self, effect: serve_view.Effect) -> tuple[serve_view.Event, ...]:
        """Keep quiet about what shuts somebody out."""
        return tuple(
            serve_view.UrgentRead(event.base_rev, replace(event.page, changes=(), hashes=()))
            if isinstance(event, serve_view.UrgentRead)
            else event
            for event in super().cloud_does(effect)
        )


class CompactionThatLosesDeletions(Sync):
    """The control: drops are forgotten before edges have them."""

    def new_views(self) -> MemoryViewLog:
        """Make forgetful views."""
        return Forgetful(self.new_epoch, dimension=SPACE.dimension)


def _settings(examples: int, *phases: Phase) -> settings:
    return settings(
        phases=(Phase.generate, *phases),
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        database=None,
        derandomize=True,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


def slow_edge(model: Sync) -> None:
    """The bookmark arrives, the deletion behind it does not, and then the line is cut."""
    model.enroll("Ana")
    model.talk()
    model.withdraw("Ana")
    model.wait(20)
    model.deliver_down(1)
    model.lose_connection()
    model.wait(60)
    model.wait(30)


def clock_turned_back(model: Sync) -> None:
    """The line is cut before the deletion; somebody turns the clock back and starts anew."""
    model.enroll("Ana")
    model.talk()
    model.withdraw("Ana")
    model.lose_connection()
    model.wait(60)
    model.wait(60)
    model.turn_the_clock(-1_000)


def withdrawn_behind_a_crowd(model: Sync) -> None:
    """Ana is at the edge and withdraws behind ten newcomers; the line carries two messages."""
    model.enroll("Ana")
    model.talk()
    for number in range(10):
        model.views.publish([STATION], [put(f"newcomer {number}")])
    model.notice()
    model.withdraw("Ana")
    model.notice()
    model.deliver_down(6)


def withdrawn_in_a_snapshot(model: Sync) -> None:
    """Ana is at the edge and withdraws while a snapshot with her in it is on its way."""
    model.enroll("Ana")
    model.enroll("Ben")
    model.talk()
    model.lose_connection()
    model.promote()
    model.connect()
    model.deliver_up(1)
    model.deliver_down(1)  # the plan
    model.withdraw("Ana")
    model.notice()
    model.deliver_down(6)


class TestSync:
    """The model."""

    @pytest.mark.parametrize("story", [withdrawn_behind_a_crowd, withdrawn_in_a_snapshot])
    def test_a_withdrawal_overtakes(self, story: Callable[[Sync], None]) -> None:
        """Ana is gone before newcomers or snapshot are there; without expulsions she is not.

        Both go on from there as always, and end in step.
        """
        kept, harmed = Sync(), WithoutExpulsions()
        story(kept)
        story(harmed)

        assert kept.disk.standing().applied_rev < kept.head_rev()
        assert rider("Ana") not in kept.index
        assert rider("Ana") in harmed.index
        kept.teardown()
        harmed.teardown()
        assert rider("Ana") not in harmed.index

    def test_a_damaged_disk_is_found_and_mended(self) -> None:
        """A template that changed at its own revision is the view's again, and somebody is told.

        Without the comparison nothing ever notices.
        """
        kept, harmed = Sync(), WithoutDigests()
        for model in (kept, harmed):
            model.enroll("Ana")
            model.enroll("Ben")
            model.talk()
            model.damage("Ana")
            with pytest.raises(AssertionError, match="diverged"):
                model.no_divergence_at_the_same_revision()
            for _ in range(130):  # an hour and some
                model.wait(29)
                model.talk()

        kept.no_divergence_at_the_same_revision()
        assert kept.alarms == 1
        with pytest.raises(AssertionError, match="diverged"):
            harmed.no_divergence_at_the_same_revision()

    def test_keeps_its_promises(self) -> None:
        """No deleted face past its lease, no divergence, and always an end in step."""
        run_state_machine_as_test(Sync, settings=_settings(300, Phase.shrink))

    @pytest.mark.parametrize(
        ("control", "violation"),
        [
            (WithoutEpoch, "diverged|stuck"),
            (CompactionThatLosesDeletions, "diverged|stuck"),
        ],
    )
    def test_finds_what_a_missing_protection_allows(
        self, control: type[Sync], violation: str
    ) -> None:
        """With one protection taken away the model finds the harm it prevents."""
        with pytest.raises(AssertionError, match=violation):
            run_state_machine_as_test(control, settings=_settings(2_000))

    @pytest.mark.parametrize(
        ("story", "control"),
        [
            (slow_edge, LeaseForTheSlow),
            (clock_turned_back, TrustingTheWall),
            (clock_turned_back, WithoutLease),
        ],
    )
    def test_a_lease_ends_where_it_must(
        self, story: Callable[[Sync], None], control: type[Sync]
    ) -> None:
        """The stories that chance finds seldom: harmless here, harm without the protection."""
        kept, harmed = Sync(), control()
        story(kept)
        story(harmed)

        kept.no_deleted_face_opens_past_the_lease()
        assert rider("Ana") in kept.index  # it is there, and may not be used
        with pytest.raises(AssertionError, match="deleted"):
            harmed.no_deleted_face_opens_past_the_lease()
