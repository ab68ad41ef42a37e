"""The cloud's end of the stream, event by event."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from cloud_sync.content import content_hash
from cloud_sync.gallery import Change, DropTemplate, PutTemplate
from cloud_sync.stream.credit import WINDOW_BYTES, Credit
from cloud_sync.stream.digest import DIGEST_BYTES
from cloud_sync.stream.messages import (
    Ack,
    Bookmark,
    Chunk,
    Deny,
    Digest,
    Hello,
    Nack,
    NackCode,
    Repair,
    Resume,
    Snapshot,
)
from cloud_sync.stream.serve_view import (
    NACKS_MAX,
    REPAIR_BUCKETS_MAX,
    WINDOW,
    Compare,
    Compared,
    Effect,
    Event,
    Gone,
    HangUp,
    HeadSeen,
    Heard,
    LeaseOffered,
    LetSnapshotGo,
    NoteAck,
    NoteDivergence,
    OfferLease,
    PageRead,
    Planned,
    Quarantine,
    Read,
    ReadAbsent,
    ReadUrgent,
    Send,
    SendPart,
    SendRepair,
    ServeConfig,
    Serving,
    TakeSnapshot,
    Tick,
    UrgentRead,
    patience_s,
    step,
)
from cloud_sync.stream.view import (
    CHUNK_ITEMS,
    PART_ITEMS,
    EdgeNode,
    Head,
    NeedsSnapshot,
    Page,
    plan,
)
from tests.templates import EPOCH, deny, put, rider, setting, snapshot, template

HEAD = Head("bell-tower", EPOCH, 1_000, 0, 86_400, "model-a", "plain")
OTHER = UUID(int=99)


@pytest.fixture
def hello(noon: datetime) -> Hello:
    """Give the hello of an edge at revision 7."""
    return Hello("edge-1", "bell-tower", EPOCH, 7, "model-a", "plain", 3, noon)


class Cloud:
    """A cloud's end to talk to; it answers its own reads."""

    def __init__(self, hello: Hello, head: Head = HEAD) -> None:
        """Start before the plan."""
        self.state = Serving(hello, ServeConfig(bookmark_s=10.0, ack_s=30.0))
        self.head = head
        self.absent: tuple[Change, ...] = ()
        self.now_s = 1.0

    def on(self, event: Event) -> list[Effect]:
        """Take an event and the answers to its reads; return all other effects."""
        done: list[Effect] = []
        events = [event]
        while events:
            self.state, effects = step(self.state, events.pop(0), self.now_s)
            for effect in effects:
                if isinstance(effect, Read):
                    to_rev = min(effect.from_rev + 100, self.head.head_rev)
                    change = put(f"rider {to_rev}")
                    hashes = (content_hash(change),)
                    events.append(PageRead(Page(effect.from_rev, to_rev, (change,), hashes)))
                elif isinstance(effect, ReadAbsent):
                    gone = tuple(content_hash(drop) for drop in self.absent)
                    page = Page(effect.rev, effect.rev, self.absent, gone)
                    events.append(UrgentRead(effect.rev, page))
                else:
                    done.append(effect)
        return done

    def resumed(self, rev: int = 7) -> list[Effect]:
        """Start with deltas."""
        return self.on(Planned(Resume(EPOCH, rev), self.head))

    def snapshot(self, chunks: int, first_index: int = 0) -> list[Effect]:
        """Start with a snapshot."""
        announced = snapshot(put("Ana"), rev=30, chunks=chunks)
        return self.on(Planned(announced, self.head, first_index))


def chunks(effects: list[Effect]) -> list[tuple[int, int]]:
    """Return from and to of the chunks sent."""
    sent = [effect.message for effect in effects if isinstance(effect, Send)]
    return [(one.from_rev, one.to_rev) for one in sent if isinstance(one, Chunk)]


class TestPlan:
    """How an edge is served."""

    NODE = EdgeNode("edge-1", "bell-tower", bytes(32))

    def test_resumes_where_it_can(self, hello: Hello) -> None:
        """An edge of this history whose revision is in the log gets deltas."""
        assert plan(hello, self.NODE, HEAD) == Resume(EPOCH, 7)
        assert plan(hello, self.NODE, replace(HEAD, compacted_rev=7)) == Resume(EPOCH, 7)

    @pytest.mark.parametrize(
        "changed",
        [
            {"epoch": None},  # holds nothing
            {"epoch": OTHER},  # another history
            {"applied_rev": 1_001},  # the cloud lost what the edge has
            {"applied_rev": 2},  # the log no longer reaches back
        ],
    )
    def test_sends_a_snapshot_otherwise(self, hello: Hello, changed: dict[str, object]) -> None:
        """Where deltas could skip something the whole view is sent."""
        late = replace(hello, **changed)  # type: ignore[arg-type]

        verdict = plan(late, self.NODE, replace(HEAD, compacted_rev=3))

        assert verdict == NeedsSnapshot()

    def test_denies_strangers_and_other_stations(self, hello: Hello) -> None:
        """An edge that is not admitted, or asks for another station's view, gets nothing."""
        elsewhere = EdgeNode("edge-1", "drum-tower", bytes(32))

        assert isinstance(plan(hello, None, HEAD), Deny)
        assert isinstance(plan(hello, elsewhere, HEAD), Deny)
        assert isinstance(plan(hello, self.NODE, None), Deny)

    def test_denies_another_model(self, hello: Hello) -> None:
        """An edge with another model than the view's would only refuse every template."""
        verdict = plan(replace(hello, model_id="model-b"), self.NODE, HEAD)

        assert isinstance(verdict, Deny)

    def test_an_empty_view_takes_any_model(self, hello: Hello) -> None:
        """Until the first template there is nothing to disagree about."""
        fresh = replace(HEAD, model_id="", transform_id="")

        assert plan(hello, self.NODE, fresh) == Resume(EPOCH, 7)

    @pytest.mark.parametrize(("low", "high", "name"), [(3, 4, "Upgrade"), (0, 0, "Upgrade")])
    def test_speaks_its_own_protocol(self, hello: Hello, low: int, high: int, name: str) -> None:
        """An edge that is too new or too old is told so."""
        verdict = plan(replace(hello, proto_min=low, proto_max=high), self.NODE, HEAD)

        assert type(verdict).__name__.startswith(name)


class TestDeltas:
    """Sending the log."""

    def test_keeps_to_the_window(self, hello: Hello) -> None:
        """However much is waiting, eight chunks are on their way and no more."""
        sent = chunks(Cloud(hello, replace(HEAD, head_rev=90_000)).resumed())

        assert len(sent) == WINDOW
        assert sent[0] == (7, 107)
        assert all(one[1] == two[0] for one, two in itertools.pairwise(sent))

    def test_a_hello_acknowledges_what_it_holds(self, hello: Hello) -> None:
        """A node whose last acknowledgement was lost is not taken for one that lacks a deletion."""
        effects = Cloud(hello, replace(HEAD, head_rev=7)).resumed()

        assert NoteAck(EPOCH, 7) in effects

    def test_an_acknowledgement_makes_room(self, hello: Hello) -> None:
        """Each acknowledged chunk lets one more go, and is noted."""
        cloud = Cloud(hello, replace(HEAD, head_rev=90_000))
        cloud.resumed()

        effects = cloud.on(Heard(Ack(3, 307)))

        assert effects[0] == NoteAck(EPOCH, 307)
        assert len(chunks(effects)) == 3

    def test_reads_pages_of_a_chunk(self, hello: Hello) -> None:
        """The log is read in pages of a chunk's size."""
        state = Serving(hello, ServeConfig())
        state = replace(state, credit=Credit(allowance=WINDOW_BYTES))
        _, effects = step(state, Planned(Resume(EPOCH, 7), HEAD), 0.0)

        assert Read(EPOCH, 7, CHUNK_ITEMS) in effects

    def test_sends_at_once_what_is_published(self, hello: Hello) -> None:
        """A caught-up edge gets the next change when the head moves."""
        cloud = Cloud(hello, replace(HEAD, head_rev=7))
        cloud.resumed()

        cloud.head = replace(HEAD, head_rev=8)
        effects = cloud.on(HeadSeen(cloud.head))

        assert chunks(effects) == [(7, 8)]

    def test_ignores_an_acknowledgement_of_the_future(self, hello: Hello) -> None:
        """An edge cannot acknowledge what was not sent, which would let deletions be compacted."""
        cloud = Cloud(hello)
        cloud.resumed()

        effects = cloud.on(Heard(Ack(1, 10_000)))

        assert not any(isinstance(effect, NoteAck) for effect in effects)

    def test_hangs_up_on_an_edge_that_does_not_acknowledge(self, hello: Hello) -> None:
        """A chunk without an answer for 30 s ends the stream."""
        cloud = Cloud(hello)
        cloud.resumed()
        cloud.now_s = 31.1

        assert any(isinstance(effect, HangUp) for effect in cloud.on(Tick()))

    def test_an_idle_stream_is_not_hung_up(self, hello: Hello) -> None:
        """The control: with everything acknowledged silence is no fault."""
        cloud = Cloud(hello, replace(HEAD, head_rev=7))
        cloud.resumed()
        cloud.now_s = 500.0

        assert not any(isinstance(effect, HangUp) for effect in cloud.on(Tick()))

    def test_an_empty_page_behind_the_head_is_a_hole(self, hello: Hello) -> None:
        """Where lines must be and none are a drop may be missing: the whole view is sent."""
        state = Serving(hello, ServeConfig())
        state, _ = step(state, Planned(Resume(EPOCH, 7), HEAD), 0.0)

        _, effects = step(state, PageRead(Page(7, 7, (), ())), 0.0)

        assert effects == (TakeSnapshot(),)

    @pytest.mark.parametrize("event", [Gone(), HeadSeen(replace(HEAD, epoch=OTHER))])
    def test_starts_over_when_history_changes(self, hello: Hello, event: Event) -> None:
        """A compacted log or a new epoch leads to a snapshot in the same stream."""
        cloud = Cloud(hello)
        cloud.resumed()

        effects = cloud.on(event)

        assert TakeSnapshot() in effects
        assert chunks(effects) == []


class TestGathering:
    """Puts in quick succession go out together, and nothing that shuts somebody out waits."""

    def caught_up(self, hello: Hello, *, batch_s: float = 0.1) -> Cloud:
        """Return a cloud whose edge has everything."""
        cloud = Cloud(hello)
        cloud.state = replace(cloud.state, config=ServeConfig(batch_s=batch_s))
        cloud.resumed(1_000)
        return cloud

    def publish(self, cloud: Cloud, rev: int) -> list[tuple[int, int]]:
        """Let the view grow to a revision; return the chunks sent."""
        cloud.head = replace(HEAD, head_rev=rev)
        return chunks(cloud.on(HeadSeen(cloud.head)))

    def test_a_lone_put_goes_at_once_and_the_next_ones_together(self, hello: Hello) -> None:
        """Eight puts within a tenth of a second are two chunks; ungathered they are eight."""
        cloud, hasty = self.caught_up(hello), self.caught_up(hello, batch_s=0.0)
        sent: list[tuple[int, int]] = []
        sent_hastily: list[tuple[int, int]] = []
        for rev in range(1_001, 1_009):
            cloud.now_s = hasty.now_s = 1.0 + (rev - 1_001) / 100
            sent += self.publish(cloud, rev)
            sent_hastily += self.publish(hasty, rev)

        assert sent == [(1_000, 1_001)]
        assert len(sent_hastily) == 8
        assert patience_s(cloud.state, cloud.now_s) == pytest.approx(0.03)
        cloud.now_s = 1.1
        assert chunks(cloud.on(Tick())) == [(1_001, 1_008)]
        assert patience_s(cloud.state, cloud.now_s) is None

    def test_a_put_after_a_pause_does_not_wait(self, hello: Hello) -> None:
        """Presence is pushed at once where nothing was sent just now."""
        cloud = self.caught_up(hello)
        self.publish(cloud, 1_001)
        cloud.now_s += 0.11

        assert self.publish(cloud, 1_002) == [(1_001, 1_002)]

    def test_many_do_not_wait(self, hello: Hello) -> None:
        """What fills a part of a chunk goes out as it comes."""
        cloud = self.caught_up(hello)
        self.publish(cloud, 1_001)

        assert self.publish(cloud, 1_001 + PART_ITEMS)[0][0] == 1_001

    @pytest.mark.parametrize(("batch_s", "overtakes"), [(0.1, True), (0.0, False)])
    def test_a_drop_does_not_wait(self, hello: Hello, batch_s: float, overtakes: bool) -> None:
        """While puts are gathered a drop is searched for and sent ahead, else it goes along."""
        cloud = self.caught_up(hello, batch_s=batch_s)
        self.publish(cloud, 1_001)
        cloud.head = replace(HEAD, head_rev=1_003)

        found = [one for one in cloud.on(HeadSeen(cloud.head)) if isinstance(one, ReadUrgent)]

        assert found == ([ReadUrgent(EPOCH, 1_001, 1_001)] if overtakes else [])
        if overtakes:
            drop = DropTemplate(rider("Ana"))
            page = Page(1_001, 1_003, (drop,), (content_hash(drop),))
            sent = cloud.on(UrgentRead(1_001, page))
            assert chunks(sent) == [(1_001, 1_001)]
            cloud.now_s += 0.1
            assert chunks(cloud.on(Tick())) == [(1_001, 1_003)]

    def test_version_1_does_not_gather(self, hello: Hello) -> None:
        """It has no way past the line for a drop, so nothing waits."""
        cloud = Cloud(hello)
        cloud.head = replace(HEAD, head_rev=1_000)
        cloud.on(Planned(Resume(EPOCH, 1_000, 1), cloud.head))
        self.publish(cloud, 1_001)

        assert self.publish(cloud, 1_002) == [(1_001, 1_002)]


class TestSnapshots:
    """Sending a whole view."""

    def test_keeps_to_the_window(self, hello: Hello) -> None:
        """Parts go in order, more at a time as the line shows what it carries, never too many."""
        cloud = Cloud(hello, replace(HEAD, head_rev=30))
        sent = [one for one in cloud.snapshot(900) if isinstance(one, SendPart)]
        on_the_way: list[int] = []
        for nonce in itertools.count(1):
            on_the_way.append(sum(one.span for one in sent if one.nonce >= nonce))
            if all(one.nonce < nonce for one in sent):
                break
            effects = cloud.on(Heard(Ack(nonce, 0)))
            sent += [one for one in effects if isinstance(one, SendPart)]

        ends = [one.index + one.span for one in sent]
        assert [one.index for one in sent] == [0, *ends[:-1]]
        assert ends[-1] == 900
        assert on_the_way[:5] == [1, 1, 1, 3, 7]
        assert max(on_the_way) == WINDOW * 8

    def test_goes_on_where_it_stopped(self, hello: Hello) -> None:
        """Parts that are on the edge's disk are not sent again."""
        cloud = Cloud(hello, replace(HEAD, head_rev=30))
        effects = [*cloud.snapshot(5, 3), *cloud.on(Heard(Ack(1, 0)))]

        assert [one.index for one in effects if isinstance(one, SendPart)] == [3, 4]

    @pytest.mark.parametrize("chunks", [0, 1])
    def test_hangs_up_on_an_edge_that_does_not_finish(self, hello: Hello, chunks: int) -> None:
        """All chunks are there and the swap never comes: the place is for others."""
        cloud = Cloud(hello, replace(HEAD, head_rev=30))
        cloud.snapshot(chunks)
        cloud.now_s += 20
        cloud.on(Heard(Ack(1, 7)))

        cloud.now_s += 29
        patient = cloud.on(Tick())
        cloud.now_s += 2

        assert not any(isinstance(effect, HangUp) for effect in patient)
        assert any(isinstance(effect, HangUp) for effect in cloud.on(Tick()))

    def test_follows_with_deltas_after_the_swap(self, hello: Hello) -> None:
        """Once the edge stands at the snapshot, what was published meanwhile comes as deltas."""
        cloud = Cloud(hello, replace(HEAD, head_rev=35))
        cloud.snapshot(1)

        staged = cloud.on(Heard(Ack(1, 7)))
        swapped = cloud.on(Heard(Ack(0, 30)))

        assert not any(isinstance(effect, NoteAck) for effect in staged)
        assert swapped[:2] == [LetSnapshotGo(), NoteAck(EPOCH, 30)]
        assert chunks(swapped) == [(30, 35)]


class TestRefusals:
    """What the edge will not take."""

    NACK = Nack(1, NackCode.BAD_ITEM, "not finite", (b"h" * 32,))

    def test_sends_again_and_takes_the_item_out_at_last(self, hello: Hello) -> None:
        """The third refusal of one item quarantines it; the chunk is sent again each time."""
        cloud = Cloud(hello, replace(HEAD, head_rev=50))
        cloud.resumed()

        rounds = [cloud.on(Heard(self.NACK)) for _ in range(NACKS_MAX)]

        assert [chunks(effects) for effects in rounds] == [[(7, 50)]] * NACKS_MAX
        taken_out = [Quarantine(b"h" * 32, "not finite") in effects for effects in rounds]
        assert taken_out == [False, False, True]

    def test_a_poisoned_snapshot_is_taken_anew(self, hello: Hello) -> None:
        """Without the item the snapshot has another root hash, so it is announced again."""
        cloud = Cloud(hello, replace(HEAD, head_rev=30))
        cloud.snapshot(1)

        rounds = [cloud.on(Heard(self.NACK)) for _ in range(NACKS_MAX)]

        assert SendPart(2, 0) in rounds[0]
        assert TakeSnapshot() in rounds[-1]

    def test_one_stranger_among_templates_is_an_item(self, hello: Hello) -> None:
        """Where edge and view agree on the model, a template of another one is a bad item."""
        cloud = Cloud(hello)
        cloud.resumed()
        nack = replace(self.NACK, code=NackCode.WRONG_SPACE)

        rounds = [cloud.on(Heard(nack)) for _ in range(NACKS_MAX)]

        assert Quarantine(b"h" * 32, "not finite") in rounds[-1]

    def test_an_edge_of_another_model_empties_no_station(self, hello: Hello) -> None:
        """An edge that loaded another model is hung up; its refusals take nothing out."""
        cloud = Cloud(replace(hello, model_id="model-b"))
        cloud.resumed()
        nack = replace(self.NACK, code=NackCode.WRONG_SPACE)

        effects = cloud.on(Heard(nack))

        assert [type(effect) for effect in effects] == [HangUp]

    @pytest.mark.parametrize("code", [NackCode.DISK, NackCode.UNSUPPORTED, NackCode.WRONG_REVISION])
    def test_other_refusals_end_the_stream(self, hello: Hello, code: NackCode) -> None:
        """A full disk or an old release is not helped by sending again."""
        cloud = Cloud(hello)
        cloud.resumed()

        effects = cloud.on(Heard(Nack(1, code, "no")))

        assert [type(effect) for effect in effects] == [HangUp]

    def test_a_bent_chunk_is_sent_again_a_few_times(self, hello: Hello) -> None:
        """A chunk that arrives damaged is repeated, though not for ever."""
        cloud = Cloud(hello)
        cloud.resumed()
        nack = Heard(Nack(1, NackCode.BAD_HASH, "bent"))

        rounds = [cloud.on(nack) for _ in range(NACKS_MAX)]

        assert chunks(rounds[0])
        assert isinstance(rounds[-1][-1], HangUp)


class TestBookmarks:
    """The heartbeat that renews leases."""

    def test_offers_a_lease_as_soon_as_the_edge_is_caught_up(self, hello: Hello) -> None:
        """The edge need not wait for the next heartbeat to open gates."""
        cloud = Cloud(hello, replace(HEAD, head_rev=50))
        cloud.resumed()

        effects = cloud.on(Heard(Ack(1, 50)))

        assert OfferLease(timedelta(days=1)) in effects

    def test_beats_every_interval(self, hello: Hello) -> None:
        """Between two bookmarks lie ten seconds."""
        cloud = Cloud(hello, replace(HEAD, head_rev=7))
        cloud.resumed()
        cloud.now_s = 10.9
        early = cloud.on(Tick())
        cloud.now_s = 11.0
        due = cloud.on(Tick())

        assert early == []
        assert due == [OfferLease(timedelta(days=1))]

    def test_names_the_head_that_the_lease_was_noted_with(
        self, hello: Hello, noon: datetime
    ) -> None:
        """The bookmark says the head as the database had it then, not as this stream knew it.

        Were it the stream's own, a missed notification would renew the lease of an edge that
        lacks a deletion.
        """
        cloud = Cloud(hello, replace(HEAD, head_rev=7))
        cloud.resumed()
        cloud.head = replace(HEAD, head_rev=8)

        effects = cloud.on(LeaseOffered(cloud.head, noon, noon))

        assert effects[0] == Send(Bookmark(EPOCH, 8, noon, noon))
        assert chunks(effects) == [(7, 8)]


DROP = DropTemplate(rider("Ana"))


def expulsions(effects: list[Effect]) -> list[Chunk]:
    """Return the chunks that move no revision."""
    said = [effect.message for effect in effects if isinstance(effect, Send)]
    return [one for one in said if isinstance(one, Chunk) and one.is_expulsion]


def urgent(base_rev: int, to_rev: int, *, from_rev: int | None = None) -> UrgentRead:
    """Return that Ana's withdrawal was found in the log."""
    start = base_rev if from_rev is None else from_rev
    return UrgentRead(base_rev, Page(start, to_rev, (DROP,), (content_hash(DROP),)))


class TestExpulsions:
    """A deletion that would wait behind templates."""

    def test_overtakes_what_is_not_sent_yet(self, hello: Hello) -> None:
        """With the window full, whoever withdrew goes out at once, at the revision sent last."""
        cloud = Cloud(hello, replace(HEAD, head_rev=90_000))
        asked = cloud.resumed()
        sent_to = chunks(asked)[-1][1]
        cloud.head = replace(HEAD, head_rev=90_001)
        looked = [one for one in cloud.on(urgent(7, 90_000)) if isinstance(one, ReadUrgent)]

        effects = cloud.on(urgent(sent_to, 90_001))

        assert ReadUrgent(EPOCH, 7, 7) in asked  # before the first page, and again from there
        assert looked == [ReadUrgent(EPOCH, sent_to, sent_to)]
        (chunk,) = expulsions(effects)
        assert (chunk.from_rev, chunk.to_rev, chunk.changes) == (sent_to, sent_to, (DROP,))

    def test_one_read_too_early_is_not_sent(self, hello: Hello) -> None:
        """What was found before more of the log went out is looked for again, not sent late.

        The rider may have come back in what was sent meanwhile.
        """
        cloud = Cloud(hello, replace(HEAD, head_rev=90_000))
        cloud.resumed()

        effects = cloud.on(urgent(7, 90_000))

        assert expulsions(effects) == []
        assert any(isinstance(one, ReadUrgent) for one in effects)

    def test_is_not_needed_where_the_log_is_short(self, hello: Hello) -> None:
        """The control: what fits into the next chunk anyway is not sent twice."""
        cloud = Cloud(hello, replace(HEAD, head_rev=8))

        assert not any(isinstance(one, ReadUrgent) for one in cloud.resumed())

    def test_goes_out_in_the_middle_of_a_snapshot(self, hello: Hello) -> None:
        """Whoever withdraws during a resync is expelled at the snapshot's own revision."""
        cloud = Cloud(hello, replace(HEAD, head_rev=30))
        cloud.snapshot(20)

        asked = cloud.on(HeadSeen(replace(HEAD, head_rev=31)))
        effects = cloud.on(urgent(30, 31))

        assert ReadUrgent(EPOCH, 30, 30) in asked
        (chunk,) = expulsions(effects)
        assert (chunk.from_rev, chunk.to_rev, chunk.is_snapshot) == (30, 30, False)

    @pytest.mark.parametrize("holds", ["nothing", "another history", "an older revision"])
    def test_goes_ahead_of_a_snapshot(self, hello: Hello, holds: str) -> None:
        """An edge is told at once whom the view no longer has, also one that has lost its disk."""
        epochs = {"nothing": None, "another history": OTHER, "an older revision": EPOCH}
        cloud = Cloud(replace(hello, epoch=epochs[holds]), replace(HEAD, head_rev=31))
        cloud.absent = (DROP,)

        effects = cloud.snapshot(20)

        sent = [one.message for one in effects if isinstance(one, Send)]
        assert isinstance(sent[0], Snapshot)
        (chunk,) = expulsions(effects)
        assert (chunk.from_rev, chunk.to_rev, chunk.changes) == (30, 30, (DROP,))
        assert [one for one in effects if isinstance(one, ReadUrgent)] == [
            ReadUrgent(EPOCH, 30, 30)  # and then what the log says after the snapshot, once
        ]

    def test_of_a_snapshot_without_anybody_is_not_sent(self, hello: Hello) -> None:
        """The control: parts go at once where nobody must be forgotten."""
        cloud = Cloud(hello, replace(HEAD, head_rev=30))

        effects = cloud.snapshot(20)

        assert expulsions(effects) == []
        assert any(isinstance(one, SendPart) for one in effects)

    def test_does_not_disturb_the_parts_around_it(self, hello: Hello) -> None:
        """After a refusal the snapshot goes back to its own oldest part, whatever went between."""
        cloud = Cloud(hello, replace(HEAD, head_rev=30))
        cloud.snapshot(20)
        cloud.on(HeadSeen(replace(HEAD, head_rev=31)))
        cloud.on(urgent(30, 31))
        cloud.on(Heard(Ack(1, 0)))

        effects = cloud.on(Heard(Nack(2, NackCode.BAD_HASH, "bent")))
        (expelled,) = expulsions(cloud.on(urgent(30, 31)))
        after = cloud.on(Heard(Ack(expelled.nonce, 0)))

        assert any(isinstance(one, ReadUrgent) for one in effects)  # the edge has dropped it
        assert not any(isinstance(one, SendPart) for one in effects)
        assert [one.index for one in after if isinstance(one, SendPart)][:1] == [1]

    def test_version_1_gets_none(self, hello: Hello) -> None:
        """A version-1 edge would take it for a duplicate."""
        cloud = Cloud(replace(hello, proto_max=1), replace(HEAD, head_rev=90_000))

        effects = cloud.on(Planned(Resume(EPOCH, 7, protocol=1), cloud.head))

        assert not any(isinstance(one, ReadUrgent) for one in effects)


class TestVersions:
    """An edge of the version before."""

    def test_is_planned_in_its_own_version(self, hello: Hello) -> None:
        """The plan says the newest version that both speak."""
        old = replace(hello, proto_max=1)

        assert plan(old, TestPlan.NODE, HEAD) == Resume(EPOCH, 7, protocol=1)
        assert plan(replace(hello, proto_max=3), TestPlan.NODE, HEAD) == Resume(EPOCH, 7)

    @pytest.mark.parametrize("changed", [{"oldest": 2}, {"is_sealing": True}])
    def test_is_refused_where_the_operator_wants_sealing(
        self, hello: Hello, changed: dict[str, int]
    ) -> None:
        """Without a key for its grant an edge would get templates in plain: it gets none."""
        old = replace(hello, proto_max=1)

        verdict = plan(old, TestPlan.NODE, HEAD, **changed)  # type: ignore[arg-type]

        assert type(verdict).__name__ == "UpgradeRequired"

    def test_gets_only_what_it_knows(self, hello: Hello) -> None:
        """No denial, setting or second-tier template; who fell into the second tier is dropped."""
        second = PutTemplate(template("Ana", tier=2))
        changes: tuple[Change, ...] = (deny("Ben"), setting(), put("Cleo"), second)
        page = Page(7, 11, changes, tuple(map(content_hash, changes)))
        state = Serving(hello, ServeConfig())
        found = {}
        for protocol in (1, 2):
            planned, _ = step(state, Planned(Resume(EPOCH, 7, protocol), HEAD), 0.0)
            _, effects = step(planned, PageRead(page), 0.0)
            (said,) = [one.message for one in effects if isinstance(one, Send)]
            assert isinstance(said, Chunk)
            found[protocol] = said

        assert found[2].changes == changes
        assert [type(one) for one in found[1].changes] == [PutTemplate, DropTemplate]
        assert found[1].hashes == (page.hashes[2], content_hash(DROP))
        assert (found[1].from_rev, found[1].to_rev) == (7, 11)


class TestAntiEntropy:
    """Comparing the edge with its view."""

    DIGEST = Digest(EPOCH, 50, bytes(DIGEST_BYTES))

    def level(self, hello: Hello) -> Cloud:
        """Return a cloud whose edge stands at revision 50, as the view does."""
        cloud = Cloud(hello, replace(HEAD, head_rev=50))
        cloud.resumed(50)
        return cloud

    def test_compares_at_the_same_revision_only(self, hello: Hello) -> None:
        """A digest of another revision or history says nothing, nor one while chunks travel."""
        cloud = self.level(hello)
        good = cloud.on(Heard(self.DIGEST))
        other = cloud.on(Heard(replace(self.DIGEST, rev=49)))
        foreign = cloud.on(Heard(replace(self.DIGEST, epoch=OTHER)))
        cloud.head = replace(HEAD, head_rev=60)
        cloud.on(HeadSeen(cloud.head))
        travelling = cloud.on(Heard(self.DIGEST))

        assert good == [Compare(self.DIGEST)]
        assert Compare(self.DIGEST) not in [*other, *foreign, *travelling]

    def test_says_so_when_both_are_the_same(self, hello: Hello) -> None:
        """The edge learns that it need not ask again soon, and nobody is alarmed."""
        (effect,) = self.level(hello).on(Compared(EPOCH, 50, ()))

        assert isinstance(effect, Send)
        assert isinstance(effect.message, Repair)
        assert effect.message.buckets == ()

    def test_repairs_the_buckets_that_differ(self, hello: Hello) -> None:
        """Each group of buckets is one repair, and a person is told."""
        effects = self.level(hello).on(Compared(EPOCH, 50, ((3, 4), (9,))))

        assert effects == [
            NoteDivergence(EPOCH, 50, 3),
            SendRepair(1, EPOCH, 50, (3, 4)),
            SendRepair(2, EPOCH, 50, (9,)),
        ]

    def test_sends_everything_where_much_differs(self, hello: Hello) -> None:
        """Past a quarter of the buckets a snapshot is surer: its root hash covers all."""
        many = tuple((bucket,) for bucket in range(REPAIR_BUCKETS_MAX + 1))

        effects = self.level(hello).on(Compared(EPOCH, 50, many))

        assert effects == [NoteDivergence(EPOCH, 50, REPAIR_BUCKETS_MAX + 1), TakeSnapshot()]

    def test_a_comparison_that_was_overtaken_repairs_nothing(self, hello: Hello) -> None:
        """When the view was read at another revision than the edge's, the edge asks again."""
        cloud = self.level(hello)

        assert cloud.on(Compared(EPOCH, 51, ((3,),))) == []
