"""What every view log promises, asked of all of them."""

import itertools
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest
import sqlalchemy as sa

from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.adapters.postgres.view_log import PostgresViewLog
from cloud_sync.content import (
    SettingRefused,
    Space,
    TemplateRefused,
    content_hash,
    key_of,
    root_hash,
)
from cloud_sync.gallery import (
    SETTING_BYTES_MAX,
    Change,
    DenialReason,
    DropDenial,
    DropKey,
    DropSetting,
    DropTemplate,
    IssuerKey,
    PutDenial,
    PutKey,
    PutSetting,
    PutTemplate,
    SettingName,
    Template,
)
from cloud_sync.setting import TariffTable, written
from cloud_sync.stream.view import EdgeNode, HistoryGone, NodeRole, SpaceRefused, ViewLog
from tests.keys import SAFE
from tests.templates import SPACE, deny, poison, put, rider, setting, template

BELL, DRUM = "bell-tower", "drum-tower"
NODE = EdgeNode("edge-1", BELL, bytes(32))
OTHER = EdgeNode("edge-2", BELL, bytes(range(32)))


@pytest.fixture(params=["memory", "postgres"])
def log(request: pytest.FixtureRequest, noon: datetime) -> ViewLog:
    """Give views of two stations of each kind; the first has two edges."""
    made: ViewLog
    if request.param == "memory":
        numbers = itertools.count(1)
        made = MemoryViewLog(lambda: UUID(int=next(numbers)), dimension=SPACE.dimension)
    else:
        engine = request.getfixturevalue("engine")
        made = PostgresViewLog(engine, SAFE, dimension=SPACE.dimension)
    for node in (NODE, OTHER, EdgeNode("edge-3", DRUM, bytes(32))):
        made.admit(node, noon)
    return made


def epoch_of(log: ViewLog, station_id: str = BELL) -> UUID:
    """Return the epoch of a station's view."""
    head = log.head(station_id)
    assert head is not None
    return head.epoch


def rev_of(log: ViewLog, station_id: str = BELL) -> int:
    """Return the head revision of a station's view."""
    head = log.head(station_id)
    assert head is not None
    return head.head_rev


def whom(changes: Iterable[Change]) -> list[UUID]:
    """Return whose templates are put, in order."""
    return [change.template.rider_ref for change in changes if isinstance(change, PutTemplate)]


class TestViewLog:
    """The port's promises."""

    def test_a_station_without_edges_has_no_view(self, log: ViewLog) -> None:
        """Nothing is known of a station where nobody was admitted."""
        assert log.head("north-gate") is None
        assert log.edge("mallory") is None

    def test_numbers_every_change(self, log: ViewLog) -> None:
        """Each change takes the next revision of each station it is for."""
        log.publish([BELL, DRUM], [put("Ana"), put("Ben")])
        log.publish([BELL], [DropTemplate(rider("Ana"))])

        assert (rev_of(log, BELL), rev_of(log, DRUM)) == (3, 2)

    def test_gives_back_what_it_took(self, log: ViewLog, noon: datetime) -> None:
        """Templates and keys come back with their content hash, vectors bit for bit."""
        ana = PutTemplate(template("Ana", expires=noon))
        key = PutKey(IssuerKey(513, bytes(range(32))))
        log.publish([BELL], [ana, key])

        page = log.read(BELL, epoch_of(log), 0, 100)

        got = page.changes[1]
        assert isinstance(got, PutTemplate)
        assert np.array_equal(got.template.vector, ana.template.vector)
        assert got.template.expires == noon
        assert page.changes[0] == key
        assert page.hashes == (content_hash(key), content_hash(ana))
        assert (page.from_rev, page.to_rev) == (0, 2)

    def test_gives_back_denials_settings_and_tiers(self, log: ViewLog, noon: datetime) -> None:
        """The deny list, the longest document and a second-tier template come back equal."""
        lost = deny("Ben", DenialReason.LOST, until=noon)
        bands = tuple((10_000 + metre, 100_000) for metre in range(4_350))
        long = PutSetting(written(TariffTable("2026", "CNY", bands)))
        assert 0.99 * SETTING_BYTES_MAX < len(long.setting.body) <= SETTING_BYTES_MAX
        second = PutTemplate(template("Ana", tier=2))
        log.publish([BELL], [second, long, deny("Cleo"), lost])

        page = log.read(BELL, epoch_of(log), 0, 100)
        whole = log.whole(BELL)

        assert page.changes[:3] == (deny("Cleo"), lost, long)
        assert isinstance(page.changes[3], PutTemplate)
        assert page.changes[3].template.tier == 2
        assert page.hashes == tuple(map(content_hash, page.changes))
        assert set(whole.hashes) == set(page.hashes) == set(map(content_hash, whole.changes))

    def test_takes_denials_and_settings_back(self, log: ViewLog) -> None:
        """Whoever is off the deny list, and a document that no longer holds, leave the view."""
        log.publish([BELL], [deny("Ana"), setting(), put("Ana")])
        log.publish([BELL], [DropDenial(rider("Ana")), DropSetting(SettingName.MODE)])

        page = log.read(BELL, epoch_of(log), 3, 100)

        assert page.changes == (DropDenial(rider("Ana")), DropSetting(SettingName.MODE))
        assert whom(log.whole(BELL).changes) == [rider("Ana")]
        assert len(log.whole(BELL).changes) == 1

    def test_refuses_a_document_that_is_too_long(self, log: ViewLog) -> None:
        """A document that would not fit into a chunk has no revision, nor what is beside it."""
        with pytest.raises(SettingRefused):
            log.publish([BELL], [deny("Ana"), setting(body=b"x" * (SETTING_BYTES_MAX + 1))])

        assert rev_of(log) == 0

    def test_reads_in_pages(self, log: ViewLog) -> None:
        """A page has at most so many lines, and the next one starts where it ends."""
        log.publish([BELL], [put(f"rider {number}") for number in range(5)])
        epoch = epoch_of(log)

        first = log.read(BELL, epoch, 0, 2)
        second = log.read(BELL, epoch, first.to_rev, 100)
        third = log.read(BELL, epoch, second.to_rev, 100)

        assert (first.to_rev, second.to_rev, third.to_rev) == (2, 5, 5)
        assert whom(first.changes + second.changes) == [
            rider(f"rider {number}") for number in range(5)
        ]
        assert third.changes == ()

    def test_sends_only_the_latest_of_a_rider(self, log: ViewLog) -> None:
        """Whoever was put, dropped and put again travels once."""
        log.publish([BELL], [put("Ana")])
        log.publish([BELL], [DropTemplate(rider("Ana")), put("Ben")])
        log.publish([BELL], [put("Ana", version=2)])

        page = log.read(BELL, epoch_of(log), 0, 100)

        assert whom(page.changes) == [rider("Ben"), rider("Ana")]
        assert page.to_rev == 4

    def test_a_template_that_was_replaced_does_not_travel(self, log: ViewLog) -> None:
        """A page does not carry a template that a later page takes away, but covers its place."""
        log.publish([BELL], [put("Ana"), put("Ben")])
        log.publish([BELL], [DropTemplate(rider("Ana"))])

        first = log.read(BELL, epoch_of(log), 0, 1)

        assert (first.changes, first.to_rev) == ((), 1)

    def test_sends_first_what_shuts_somebody_out(self, log: ViewLog) -> None:
        """Within a page who must not pass comes first, and templates come last."""
        log.publish([BELL], [put("Ana")])
        log.publish([BELL], [put("Ben"), setting(), deny("Dan")])
        log.publish([BELL], [DropTemplate(rider("Ana")), DropKey(4)])

        page = log.read(BELL, epoch_of(log), 1, 100)

        kinds = [PutDenial, DropTemplate, DropKey, PutSetting, PutTemplate]
        assert [type(change) for change in page.changes] == kinds

    def test_finds_what_shuts_somebody_out(self, log: ViewLog) -> None:
        """Drops of riders and keys, and denials, are found past any number of templates."""
        log.publish([BELL], [put("Ana"), deny("Zoe")])
        log.publish([BELL], [put(f"rider {number}") for number in range(9)])
        log.publish([BELL], [DropTemplate(rider("Ana")), DropKey(4), deny("Dan"), setting()])
        log.publish([BELL], [DropDenial(rider("Zoe")), DropSetting(SettingName.MODE)])

        page = log.urgent(BELL, epoch_of(log), 1)

        assert set(page.changes) == {DropTemplate(rider("Ana")), DropKey(4), deny("Dan")}
        assert page.hashes == tuple(map(content_hash, page.changes))
        assert (page.from_rev, page.to_rev) == (1, rev_of(log))

    def test_looks_only_behind_a_revision(self, log: ViewLog) -> None:
        """What an edge has already is not found again, and another history is refused."""
        log.publish([BELL], [put("Ana")])
        log.publish([BELL], [DropTemplate(rider("Ana"))])

        assert log.urgent(BELL, epoch_of(log), 2).changes == ()
        with pytest.raises(HistoryGone):
            log.urgent(BELL, uuid4(), 0)

    def test_names_everything_it_holds(self, log: ViewLog) -> None:
        """The roll has each item's key and content hash, and the revision they are of."""
        log.publish([BELL], [put("Ana"), put("Ben"), deny("Dan"), setting()])
        log.publish([BELL], [DropTemplate(rider("Ana"))])
        held = (put("Ben"), deny("Dan"), setting())

        epoch = epoch_of(log)
        roll = log.hashes(BELL)

        assert set(roll.items) == {(key_of(one), content_hash(one)) for one in held}
        assert (roll.epoch, roll.rev) == (epoch, rev_of(log))

    def test_the_last_of_one_publication_counts(self, log: ViewLog) -> None:
        """Several changes about one rider in one publication are one line."""
        log.publish([BELL], [put("Ana"), put("Ana", version=2), DropTemplate(rider("Ana"))])

        assert rev_of(log) == 1
        assert len(log.whole(BELL).changes) == 0

    def test_the_whole_is_what_all_pages_give(self, log: ViewLog) -> None:
        """A snapshot has the live content alone, and its hashes."""
        log.publish([BELL], [put("Ana"), put("Ben"), PutKey(IssuerKey(1, bytes(32)))])
        log.publish([BELL], [DropTemplate(rider("Ana")), put("Ben", version=2)])

        whole = log.whole(BELL)

        assert set(whom(whole.changes)) == {rider("Ben")}
        assert len(whole.changes) == 2
        assert whole.rev == rev_of(log)
        assert root_hash(whole.hashes) == root_hash(map(content_hash, whole.changes))

    @pytest.mark.parametrize("kind", ["nan", "long", "other space", "other model later"])
    def test_refuses_what_must_not_be_served(self, log: ViewLog, kind: str) -> None:
        """A bad template is refused before it has a revision, and nothing beside it is kept."""
        log.publish([BELL], [put("Ana")])
        long = Template(rider("Ben"), 1, "model-a", "plain", template("Ben").vector * 2)
        bad = {
            "nan": poison("Ben"),
            "long": PutTemplate(long),
            "other space": put("Ben", space=Space("model-a", "plain", 16)),
            "other model later": put("Ben", space=Space("model-b", "plain", 8)),
        }[kind]

        with pytest.raises(SpaceRefused if kind == "other model later" else TemplateRefused):
            log.publish([BELL], [put("Cleo"), bad])

        assert rev_of(log) == 1
        assert whom(log.whole(BELL).changes) == [rider("Ana")]

    def test_refuses_a_station_without_a_view(self, log: ViewLog) -> None:
        """A publication to an unknown station reaches no other one either."""
        with pytest.raises(LookupError):
            log.publish([BELL, "nowhere"], [put("Ana")])

        assert rev_of(log) == 0

    def test_another_epoch_is_not_read(self, log: ViewLog) -> None:
        """After a new epoch no delta of the old history is served."""
        log.publish([BELL], [put("Ana")])
        old = epoch_of(log)

        log.renew_epoch(BELL, uuid4())

        with pytest.raises(HistoryGone):
            log.read(BELL, old, 0, 100)

    def test_an_edge_can_move(self, log: ViewLog, noon: datetime) -> None:
        """Admitting an edge again changes its station and key, and leaves what it is for."""
        log.set_role("edge-1", NodeRole.ENTRANCE)
        log.admit(EdgeNode("edge-1", DRUM, bytes(range(32))), noon)

        assert log.edge("edge-1") == EdgeNode("edge-1", DRUM, bytes(range(32)), NodeRole.ENTRANCE)
        with pytest.raises(LookupError):
            log.set_role("edge-9", NodeRole.ENTRANCE)
        assert len(log.edges(DRUM)) == 2

    def test_a_quarantined_item_is_dropped_everywhere(self, log: ViewLog, noon: datetime) -> None:
        """What edges refuse leaves the view as a drop with a revision of its own."""
        log.publish([BELL], [put("Ana"), put("Ben")])

        log.quarantine(BELL, content_hash(put("Ana")), "bad", noon)
        log.quarantine(BELL, content_hash(put("Ana")), "bad", noon)

        assert rev_of(log) == 3
        assert log.read(BELL, epoch_of(log), 2, 9).changes == (DropTemplate(rider("Ana")),)
        assert whom(log.whole(BELL).changes) == [rider("Ben")]

    def test_a_new_template_leaves_quarantine_behind(self, log: ViewLog, noon: datetime) -> None:
        """A rider whose template was bad can enroll again."""
        log.publish([BELL], [put("Ana")])
        log.quarantine(BELL, content_hash(put("Ana")), "bad", noon)

        log.publish([BELL], [put("Ana", version=2)])

        assert whom(log.whole(BELL).changes) == [rider("Ana")]


class TestCompaction:
    """Forgetting lines, never a deletion."""

    def _published(self, log: ViewLog) -> None:
        log.publish([BELL], [put("Ana"), put("Ben")])
        log.publish([BELL], [DropTemplate(rider("Ana"))])

    def test_waits_for_an_edge_with_a_lease(self, log: ViewLog, noon: datetime) -> None:
        """While an edge may use what it holds, the drop it lacks stays in the log."""
        self._published(log)
        for edge in (NODE, OTHER):
            log.offer_lease(edge.edge_id, noon + timedelta(hours=1))
        log.acknowledge("edge-1", epoch_of(log), 3, noon)
        log.acknowledge("edge-2", epoch_of(log), 2, noon)

        assert log.compact(BELL, noon, keep=0) == 2
        assert log.read(BELL, epoch_of(log), 2, 9).changes == (DropTemplate(rider("Ana")),)

    def test_does_not_wait_for_an_expired_lease(self, log: ViewLog, noon: datetime) -> None:
        """An edge that may use nothing any more takes a snapshot when it comes back."""
        self._published(log)
        log.offer_lease("edge-2", noon + timedelta(hours=1))
        log.acknowledge("edge-2", epoch_of(log), 1, noon)

        assert log.compact(BELL, noon + timedelta(hours=1), keep=0) == 3

    def test_an_acknowledgement_of_another_epoch_is_none(
        self, log: ViewLog, noon: datetime
    ) -> None:
        """Revisions of an old history say nothing about this one."""
        self._published(log)
        log.offer_lease("edge-1", noon + timedelta(hours=1))
        log.acknowledge("edge-1", uuid4(), 3, noon)

        assert log.compact(BELL, noon, keep=0) == 0

    def test_keeps_what_it_is_told_to(self, log: ViewLog, noon: datetime) -> None:
        """So many lines stay for edges that come late."""
        self._published(log)

        assert log.compact(BELL, noon, keep=2) == 1
        assert log.compact(BELL, noon, keep=100) == 1  # it never goes back

    def test_nobody_resumes_across_it(self, log: ViewLog, noon: datetime) -> None:
        """A read from before the compacted revision fails instead of skipping a drop."""
        self._published(log)
        log.compact(BELL, noon, keep=0)

        with pytest.raises(HistoryGone):
            log.read(BELL, epoch_of(log), 2, 9)

    def test_a_lease_is_never_shortened(self, log: ViewLog, noon: datetime) -> None:
        """What was offered counts until its end, even if a later offer is shorter."""
        self._published(log)
        log.offer_lease("edge-2", noon + timedelta(hours=2))
        log.offer_lease("edge-2", noon + timedelta(hours=1))

        assert log.compact(BELL, noon + timedelta(hours=1), keep=0) == 0

    def test_a_stranger_gets_no_lease(self, log: ViewLog, noon: datetime) -> None:
        """An edge that is not admitted is offered nothing."""
        with pytest.raises(HistoryGone):
            log.offer_lease("mallory", noon)


class TestPostgres:
    """What the database adds."""

    @pytest.fixture
    def views(self, engine: sa.Engine, noon: datetime) -> PostgresViewLog:
        """Give views of one station."""
        made = PostgresViewLog(engine, SAFE, dimension=SPACE.dimension)
        made.admit(NODE, noon)
        return made

    def test_a_rolled_back_publication_never_was(
        self, views: PostgresViewLog, engine: sa.Engine
    ) -> None:
        """Lines commit with the caller's own rows or not at all, and leave no gap behind."""
        from cloud_sync.adapters.postgres.view_log import publish

        with engine.connect() as connection, connection.begin() as transaction:
            publish(connection, [BELL], [put("Ana")], safe=SAFE, dimension=SPACE.dimension)
            transaction.rollback()
        with engine.begin() as connection:
            publish(connection, [BELL], [put("Ben")], safe=SAFE, dimension=SPACE.dimension)

        assert rev_of(views) == 1
        assert whom(views.read(BELL, epoch_of(views), 0, 9).changes) == [rider("Ben")]

    def test_revisions_commit_in_order(self, views: PostgresViewLog, engine: sa.Engine) -> None:
        """A second publication waits for the first: no reader sees revision 2 before 1."""
        from cloud_sync.adapters.postgres.view_log import publish

        with engine.connect() as first, first.begin():
            publish(first, [BELL], [put("Ana")], safe=SAFE, dimension=SPACE.dimension)
            with engine.connect() as second, second.begin() as transaction:
                second.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
                with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
                    publish(second, [BELL], [put("Ben")], safe=SAFE, dimension=SPACE.dimension)
                transaction.rollback()

        assert rev_of(views) == 1

    def test_a_hole_in_the_log_is_not_read_across(
        self, views: PostgresViewLog, engine: sa.Engine
    ) -> None:
        """A line that is missing may have been a drop, so no page spans it."""
        views.publish([BELL], [put("Ana"), put("Ben"), put("Cleo")])
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM cloud_sync.view_log WHERE rev = 2"))

        with pytest.raises(HistoryGone):
            views.read(BELL, epoch_of(views), 0, 9)

    @pytest.mark.parametrize("column", ["timeline", "system_identifier"])
    def test_another_history_of_the_database_is_a_new_epoch(
        self, views: PostgresViewLog, engine: sa.Engine, column: str
    ) -> None:
        """A promoted standby and a restored backup both make every edge take a snapshot."""
        before = epoch_of(views)
        assert epoch_of(views) == before  # the control: the same database keeps its epoch
        value = "7" if column == "timeline" else "'another'"
        with engine.begin() as connection:
            connection.execute(sa.text(f"UPDATE cloud_sync.history SET {column} = {value}"))

        after = epoch_of(views)

        assert after != before
        assert epoch_of(views) == after
