"""The use cases, over riders in memory and two stations."""

from datetime import timedelta
from uuid import UUID

import pytest

from cloud_sync.gallery import DropTemplate, PutDenial, PutTemplate
from edge_gate.face import Embedding
from enroll.adapters.memory import MemoryRiderStore
from enroll.consent import TEXTS, Purpose
from enroll.enrollment import Decline, Declined, EnrollmentConfig
from enroll.photo import Accepted
from enroll.refusal import Refusal, Refused
from enroll.rider import RiderEvent, RiderState
from enroll.store import Dossier
from tests.riders import FACE_CONSENTS, MONDAY, Office, direction


@pytest.fixture
def store() -> MemoryRiderStore:
    """Give a store with two stations."""
    return MemoryRiderStore(["S1", "S2"])


@pytest.fixture
def office(store: MemoryRiderStore) -> Office:
    """Give the use cases."""
    return Office(store)


def told(store: MemoryRiderStore, ref: UUID, station: str = "S1") -> list[str]:
    """Return what a station was told of a rider: `put 1`, `drop`."""
    lines = []
    for change in store.view(station):
        if isinstance(change, PutTemplate) and change.template.rider_ref == ref:
            lines.append(f"put {change.template.version}")
        if isinstance(change, DropTemplate) and change.rider_ref == ref:
            lines.append("drop")
    return lines


def refuses(_data: bytes, _first: Embedding | None) -> Accepted | Refused:
    """Judge every photo as blurred."""
    return Refused(Refusal.BLURRED)


class TestPhotos:
    """From photo to stations."""

    def test_accepted_photo_reaches_every_station(
        self, office: Office, store: MemoryRiderStore
    ) -> None:
        """With all consents, the first photo makes version 1 and all stations get it."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.photo(ada, direction(1))

        assert told(store, ada, "S1") == told(store, ada, "S2") == ["put 1"]
        assert office.dossier(ada).stationed == 1

    def test_each_photo_makes_a_new_version(self, office: Office, store: MemoryRiderStore) -> None:
        """Further photos replace the template by one of all of them."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        face = direction(1)
        for seed in (2, 3):
            office.photo(ada, direction(seed, near=face, cosine=0.8))

        template = office.dossier(ada).template
        assert template is not None
        assert (template.version, template.photos) == (2, 2)
        assert template.vector @ face > 0.85
        assert told(store, ada) == ["put 1", "put 2"]

    @pytest.mark.parametrize("missing", [Purpose.COLLECT, Purpose.STORE])
    def test_no_photo_without_consent(self, missing: Purpose, office: Office) -> None:
        """Without the consent to collect or store, a photo is not even judged."""
        ada = office.sign_up("Ada", *(p for p in FACE_CONSENTS if p is not missing))

        outcome = office.enrollment.add_photo(
            ada, b"", assess=refuses, photo_id=UUID(int=9), now=MONDAY
        )

        assert outcome == Declined(Decline.CONSENT_MISSING)

    @pytest.mark.parametrize("missing", [Purpose.SEND, Purpose.PAY])
    def test_stays_here_without_send_or_pay(
        self, missing: Purpose, office: Office, store: MemoryRiderStore
    ) -> None:
        """Without `send` or `pay` the template is kept and no station hears of it."""
        ada = office.sign_up("Ada", *(p for p in FACE_CONSENTS if p is not missing))
        office.photo(ada, direction(1))

        assert office.dossier(ada).template is not None
        assert told(store, ada) == []

    def test_refused_photo_changes_nothing(self, office: Office, store: MemoryRiderStore) -> None:
        """A refusal leaves no trace in the dossier or at the stations."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        before = office.dossier(ada)

        outcome = office.enrollment.add_photo(
            ada, b"", assess=refuses, photo_id=UUID(int=9), now=MONDAY
        )

        assert outcome == Refused(Refusal.BLURRED)
        assert office.dossier(ada) is before or office.dossier(ada).photos == before.photos == ()
        assert told(store, ada) == []

    def test_full(self, store: MemoryRiderStore) -> None:
        """One photo more than the limit is declined; after deleting one it is taken."""
        office = Office(store, config=EnrollmentConfig(photos_max=2, photos_advised=1))
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        for seed in (1, 2):
            office.photo(ada, direction(seed))

        assert office.photo(ada, direction(3)) == Declined(Decline.PHOTOS_FULL)
        first = office.dossier(ada).photos[0].photo_id
        office.enrollment.drop_photo(ada, first, now=MONDAY)
        assert isinstance(office.photo(ada, direction(3)), Dossier)

    def test_same_picture_again(self, office: Office, store: MemoryRiderStore) -> None:
        """A retry of the same upload is answered like the first and adds nothing."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.photo(ada, direction(1))
        office.photo(ada, direction(1))

        assert len(office.dossier(ada).photos) == 1
        assert told(store, ada) == ["put 1"]

    def test_version_is_never_used_twice(self, office: Office, store: MemoryRiderStore) -> None:
        """After the last photo is deleted, the next template goes on counting."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.photo(ada, direction(1))
        office.enrollment.drop_photo(ada, office.dossier(ada).photos[0].photo_id, now=MONDAY)
        office.photo(ada, direction(2))

        assert told(store, ada) == ["put 1", "drop", "put 2"]

    def test_first_photo_of_two_at_once(self, office: Office) -> None:
        """Of two first photos sent at the same moment the later is judged against the earlier."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        judged: list[bool] = []

        def slow(_data: bytes, first: Embedding | None) -> Accepted | Refused:
            judged.append(first is not None)
            if first is not None:
                return Refused(Refusal.OTHER_PERSON)
            office.photo(ada, direction(1))  # the other upload wins meanwhile
            return Accepted(direction(2), "test/space", 0.9, 1.0, b"")

        outcome = office.enrollment.add_photo(
            ada, b"", assess=slow, photo_id=UUID(int=9), now=MONDAY
        )

        assert outcome == Refused(Refusal.OTHER_PERSON)
        assert judged == [False, True]

    @pytest.mark.parametrize("keep", [True, False])
    def test_picture_kept_only_with_consent(self, keep: bool, office: Office) -> None:
        """The picture itself stays only with `keep_photos`; the measurement stays either way."""
        extra = (Purpose.KEEP_PHOTOS,) if keep else ()
        ada = office.sign_up("Ada", *FACE_CONSENTS, *extra)
        office.photo(ada, direction(1))

        assert office.dossier(ada).photos[0].original == (b"clean picture" if keep else None)


class TestChoices:
    """Consents and what follows at once."""

    @pytest.mark.parametrize("purpose", [Purpose.SEND, Purpose.PAY])
    def test_withdrawing_drops_at_stations(
        self, purpose: Purpose, office: Office, store: MemoryRiderStore
    ) -> None:
        """Withdrawing `send` or `pay` drops the face from stations and keeps it here."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.photo(ada, direction(1))
        office.enrollment.choose(ada, purpose, given=False, now=MONDAY)
        assert told(store, ada) == ["put 1", "drop"]
        assert office.dossier(ada).template is not None

        office.enrollment.choose(ada, purpose, given=True, now=MONDAY)
        assert told(store, ada) == ["put 1", "drop", "put 1"]

    @pytest.mark.parametrize("purpose", [Purpose.STORE, Purpose.COLLECT])
    def test_withdrawing_deletes(
        self, purpose: Purpose, office: Office, store: MemoryRiderStore
    ) -> None:
        """Withdrawing `store` or `collect` deletes everything and keeps the proof."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.photo(ada, direction(1))
        office.photo(ada, direction(2))
        office.enrollment.choose(ada, purpose, given=False, now=MONDAY)

        dossier = office.dossier(ada)
        assert (dossier.photos, dossier.template, dossier.stationed) == ((), None, 0)
        assert told(store, ada)[-1] == "drop"
        (erasure,) = dossier.erasures
        assert (erasure.photos, erasure.templates) == (2, 1)
        assert erasure.cause == f"consent_{purpose.value}"
        assert dossier.rider.state is RiderState.ACTIVE

    def test_withdrawing_keep_photos(self, office: Office, store: MemoryRiderStore) -> None:
        """Withdrawing `keep_photos` deletes the pictures, and the face goes on working."""
        ada = office.sign_up("Ada", *FACE_CONSENTS, Purpose.KEEP_PHOTOS)
        office.photo(ada, direction(1))
        office.enrollment.choose(ada, Purpose.KEEP_PHOTOS, given=False, now=MONDAY)

        assert office.dossier(ada).photos[0].original is None
        assert told(store, ada) == ["put 1"]

    def test_every_choice_is_on_record(self, office: Office) -> None:
        """Giving and withdrawing leaves a record of each, in order, with text version and time."""
        ada = office.sign_up("Ada", Purpose.SEND)
        office.enrollment.choose(ada, Purpose.SEND, given=False, now=MONDAY)

        records = office.dossier(ada).consents
        assert [(r.purpose, r.given, r.text_version, r.at) for r in records] == [
            (Purpose.SEND, True, TEXTS[Purpose.SEND].version, MONDAY),
            (Purpose.SEND, False, TEXTS[Purpose.SEND].version, MONDAY),
        ]

    def test_minor_needs_guardian_first(self, office: Office) -> None:
        """Under 14 nothing can be switched on before the guardian agrees."""
        kit = office.sign_up("Kit", minor=True)

        outcome = office.enrollment.choose(kit, Purpose.PAY, given=True, now=MONDAY)
        assert outcome == Declined(Decline.GUARDIAN_MISSING)
        assert office.photo(kit, direction(1)) == Declined(Decline.GUARDIAN_MISSING)

        office.enrollment.choose(kit, Purpose.GUARDIAN, given=True, now=MONDAY)
        outcome = office.enrollment.choose(kit, Purpose.PAY, given=True, now=MONDAY)
        assert isinstance(outcome, Dossier)

    def test_guardian_takes_it_back(self, office: Office, store: MemoryRiderStore) -> None:
        """When the guardian withdraws, the face is deleted here and at the stations."""
        kit = office.sign_up("Kit", Purpose.GUARDIAN, *FACE_CONSENTS, minor=True)
        office.photo(kit, direction(1))
        office.enrollment.choose(kit, Purpose.GUARDIAN, given=False, now=MONDAY)

        assert office.dossier(kit).photos == ()
        assert told(store, kit) == ["put 1", "drop"]


class TestMoves:
    """Pause, resume, withdraw."""

    def test_pause_and_resume(self, office: Office, store: MemoryRiderStore) -> None:
        """A pause drops the face from stations, and resuming sends the same version again."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.photo(ada, direction(1))
        office.enrollment.move(ada, RiderEvent.PAUSE, now=MONDAY)
        office.enrollment.move(ada, RiderEvent.PAUSE, now=MONDAY)
        office.enrollment.move(ada, RiderEvent.RESUME, now=MONDAY)

        assert told(store, ada) == ["put 1", "drop", "put 1"]

    def test_photo_while_paused(self, office: Office, store: MemoryRiderStore) -> None:
        """A photo added during a pause makes a template that waits for the resume."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.enrollment.move(ada, RiderEvent.PAUSE, now=MONDAY)
        office.photo(ada, direction(1))
        assert told(store, ada) == []

        office.enrollment.move(ada, RiderEvent.RESUME, now=MONDAY)
        assert told(store, ada) == ["put 1"]

    def test_withdraw(self, office: Office, store: MemoryRiderStore) -> None:
        """A withdrawal leaves a nameless rider with consents and proof, and nothing of the face."""
        ada = office.sign_up("Ada", *FACE_CONSENTS, Purpose.KEEP_PHOTOS)
        office.photo(ada, direction(1))
        office.enrollment.move(ada, RiderEvent.WITHDRAW, now=MONDAY)

        dossier = office.dossier(ada)
        assert (dossier.rider.display_name, dossier.rider.state) == ("", RiderState.WITHDRAWN)
        assert (dossier.photos, dossier.template, dossier.stationed) == ((), None, 0)
        assert len(dossier.consents) == 5
        (erasure,) = dossier.erasures
        assert (erasure.cause, erasure.originals) == ("withdraw", 1)
        assert told(store, ada) == ["put 1", "drop"]

    @pytest.mark.parametrize("event", [RiderEvent.PAUSE, RiderEvent.RESUME])
    def test_nothing_after_withdrawal(self, event: RiderEvent, office: Office) -> None:
        """A withdrawn rider can neither pause, resume, choose nor add photos."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.enrollment.move(ada, RiderEvent.WITHDRAW, now=MONDAY)
        gone = Declined(Decline.WITHDRAWN)

        assert office.enrollment.move(ada, event, now=MONDAY) == gone
        assert office.enrollment.choose(ada, Purpose.SEND, given=True, now=MONDAY) == gone
        assert office.photo(ada, direction(1)) == gone

    def test_unknown_rider(self, office: Office) -> None:
        """A reference that nobody has is declined everywhere."""
        nobody, unknown = UUID(int=404), Declined(Decline.UNKNOWN_RIDER)

        assert office.enrollment.move(nobody, RiderEvent.PAUSE, now=MONDAY) == unknown
        assert office.enrollment.choose(nobody, Purpose.SEND, given=True, now=MONDAY) == unknown
        assert office.photo(nobody, direction(1)) == unknown
        assert office.enrollment.renew_key(nobody, bytes(32)) == unknown


class TestLookalikes:
    """Faces that a gate cannot tell apart."""

    def twins(self, office: Office) -> tuple[UUID, UUID]:
        """Enroll two riders whose templates score 0.8."""
        tess, tara = (office.sign_up(name, *FACE_CONSENTS) for name in ("Tess", "Tara"))
        office.photo(tess, direction(1))
        office.photo(tara, direction(2, near=direction(1), cosine=0.8))
        return tess, tara

    def test_both_are_held_back(self, office: Office, store: MemoryRiderStore) -> None:
        """When a look-alike enrolls, neither face is at the stations until somebody decides."""
        tess, tara = self.twins(office)

        assert told(store, tess) == ["put 1", "drop"]
        assert told(store, tara) == []
        (pair,) = store.open_pairs()
        assert {pair.one, pair.other} == {tess, tara}
        assert pair.score == pytest.approx(0.8, abs=1e-3)

    def test_strangers_are_no_pair(self, office: Office, store: MemoryRiderStore) -> None:
        """Two riders who score 0.3 both ride by face."""
        tess, tom = (office.sign_up(name, *FACE_CONSENTS) for name in ("Tess", "Tom"))
        office.photo(tess, direction(1))
        office.photo(tom, direction(2, near=direction(1), cosine=0.3))

        assert store.open_pairs() == ()
        assert told(store, tess) == told(store, tom) == ["put 1"]

    def test_cleared(self, office: Office, store: MemoryRiderStore) -> None:
        """A cleared pair is sent again, and a new photo does not open the pair anew."""
        tess, tara = self.twins(office)
        office.enrollment.clear_pair(tara, tess, now=MONDAY)
        assert told(store, tess) == ["put 1", "drop", "put 1"]
        assert told(store, tara) == ["put 1"]

        office.photo(tara, direction(3, near=direction(1), cosine=0.8))
        assert store.open_pairs() == ()
        assert told(store, tara) == ["put 1", "put 2"]

    def test_unknown_pair(self, office: Office) -> None:
        """A pair that nobody found cannot be cleared."""
        ada = office.sign_up("Ada")
        assert office.enrollment.clear_pair(ada, UUID(int=5), now=MONDAY) is None

    def test_one_leaves(self, office: Office, store: MemoryRiderStore) -> None:
        """When one of the two withdraws, the other's face works again."""
        tess, tara = self.twins(office)
        office.enrollment.move(tara, RiderEvent.WITHDRAW, now=MONDAY)

        assert store.open_pairs() == ()
        assert told(store, tess) == ["put 1", "drop", "put 1"]


class TestStations:
    """Where a rider wants to be known, and where a rider is going."""

    def test_homes(self, office: Office) -> None:
        """A rider chooses stations in an order, each once, and may have none."""
        ada = office.sign_up("Ada")

        chosen = office.enrollment.choose_homes(ada, ["S2", "S1", "S2"], now=MONDAY)
        none = office.enrollment.choose_homes(ada, [], now=MONDAY)

        assert isinstance(chosen, Dossier)
        assert isinstance(none, Dossier)
        assert (chosen.homes, none.homes) == (("S2", "S1"), ())

    def test_at_most_four(self, office: Office) -> None:
        """A fifth home is declined, and the others stay as they were."""
        ada = office.sign_up("Ada")
        office.enrollment.choose_homes(ada, ["S1"], now=MONDAY)

        declined = office.enrollment.choose_homes(ada, [f"S{n}" for n in range(5)], now=MONDAY)

        assert declined == Declined(Decline.HOMES_FULL)
        assert office.dossier(ada).homes == ("S1",)

    def test_withdrawal_forgets_homes(self, office: Office) -> None:
        """Where somebody lived and worked is deleted with the face, and is not chosen again."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.enrollment.choose_homes(ada, ["S1"], now=MONDAY)

        office.enrollment.move(ada, RiderEvent.WITHDRAW, now=MONDAY)
        again = office.enrollment.choose_homes(ada, ["S1"], now=MONDAY)

        assert office.dossier(ada).homes == ()
        assert again == Declined(Decline.WITHDRAWN)

    def test_check_in(self, office: Office) -> None:
        """A station expects a face for half an hour."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.photo(ada, direction(1))

        until = office.enrollment.check_in(ada, "S1", now=MONDAY)

        assert until == MONDAY + timedelta(minutes=30)

    @pytest.mark.parametrize(
        ("event", "station", "reason"),
        [
            (RiderEvent.PAUSE, "S1", Decline.FACE_OFF),
            (RiderEvent.WITHDRAW, "S1", Decline.WITHDRAWN),
            (RiderEvent.RESUME, "S9", Decline.UNKNOWN_STATION),
        ],
    )
    def test_check_in_declined(
        self, event: RiderEvent, station: str, reason: Decline, office: Office
    ) -> None:
        """A face that is off, a rider who is gone and a strange station are told apart."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)
        office.photo(ada, direction(1))
        office.enrollment.move(ada, event, now=MONDAY)

        assert office.enrollment.check_in(ada, station, now=MONDAY) == Declined(reason)

    def test_withdrawal_denies_codes_for_their_life(
        self, office: Office, store: MemoryRiderStore
    ) -> None:
        """A code made just before the withdrawal is refused as long as a gate might take it."""
        ada = office.sign_up("Ada", *FACE_CONSENTS)

        office.enrollment.move(ada, RiderEvent.WITHDRAW, now=MONDAY)

        (denial,) = (c.denial for c in store.view("S2") if isinstance(c, PutDenial))
        assert (denial.rider_ref, denial.until) == (ada, MONDAY + timedelta(seconds=125))
