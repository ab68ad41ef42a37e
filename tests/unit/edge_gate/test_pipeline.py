"""One lane, scripted: who is let through, who is not, and who is never looked at."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from cloud_sync.gallery import (
    Denial,
    DenialReason,
    DropSetting,
    DropTemplate,
    PutDenial,
    PutSetting,
    PutTemplate,
    SettingName,
    Template,
)
from cloud_sync.setting import Mode, StationMode, written
from cloud_sync.stream.lease import Lease
from edge_gate.adapters.memory_code_reader import MemoryCodeReader
from edge_gate.adapters.memory_eye import MemoryEye, Person, look_of
from edge_gate.adapters.memory_turnstile import MemoryTurnstile
from edge_gate.adapters.sim_turnstile import NoShow, SimTurnstile
from edge_gate.barrier import Event, State
from edge_gate.face import Frame
from edge_gate.face_path import FaceConfig
from edge_gate.intent import IntentConfig
from edge_gate.pipeline import LaneConfig
from edge_gate.reason import DenyReason
from edge_gate.screen import Sign
from fare.tap import Direction, Medium, TapFlag
from tests.lane import VirtualLane, reasons

ANNA, BELA, CARLO, STRANGER = 10, 20, 30, 200


class Scene:
    """A memory eye in a lane where Anna, Bela and Carlo are enrolled."""

    def __init__(self, noon: datetime, **settings: object) -> None:
        self.eye = MemoryEye()
        self.reader = MemoryCodeReader()
        settings = {"eye": self.eye.eye, "model_id": "memory/512", **settings}
        self.lane = VirtualLane(noon, reader=self.reader, **settings)  # type: ignore[arg-type]
        self.riders = {look: self.lane.enroll(look, look_of(look)) for look in (ANNA, BELA, CARLO)}

    def play(self, seconds: float, *people: Person) -> list[str]:
        """Show the same people for so long and return the answers in words."""
        return reasons(
            self.lane.play(
                seconds, lambda i: self.eye.show(*people, seed=i + int(self.lane.now_s * 15))
            )
        )

    @property
    def sign(self) -> Sign:
        """What the rider sees."""
        return self.lane.pipeline.view.screen.sign


@pytest.fixture
def scene(noon: datetime) -> Scene:
    """Give an open lane."""
    return Scene(noon)


class TestOneRider:
    """Anna walks up alone."""

    def test_is_let_through_once(self, scene: Scene) -> None:
        """A recognised rider gets one answer and one tap, however long she is seen."""
        assert scene.play(3, Person(ANNA)) == ["face"]
        assert [s.tap.rider_ref for s in scene.lane.outbox.pending(9)] == [UUID(int=ANNA)]

    def test_sees_go_while_the_barrier_is_open(self, scene: Scene) -> None:
        """The screen goes from ready over one moment to go, and back when she has passed."""
        signs = [scene.sign]
        for seconds, people in (
            (0.1, ()),
            (0.15, (Person(ANNA),)),
            (0.5, (Person(ANNA),)),
            (3, ()),
        ):
            scene.play(seconds, *people)
            signs.append(scene.sign)

        # Before the first frame there is no camera, so faces are shut.
        assert signs == [Sign.CODE, Sign.READY, Sign.WAIT, Sign.GO, Sign.READY]

    def test_waits_less_than_300_ms(self, scene: Scene) -> None:
        """From the first usable face to the open command a handful of frames go by."""
        scene.play(1)
        scene.play(1, Person(ANNA))

        answer = scene.lane.answers[0]
        assert answer.first_usable_to_open_ms is not None
        assert answer.first_usable_to_open_ms <= 300

    def test_is_embedded_no_more_after_the_answer(self, scene: Scene) -> None:
        """Two usable frames decide; until she has passed no other is embedded."""
        scene.play(1.5, Person(ANNA))

        assert scene.eye.embedded == [ANNA, ANNA]

    def test_the_tap_says_what_matched(self, scene: Scene) -> None:
        """Model and score stand in the tap."""
        scene.play(1, Person(ANNA))

        tap = scene.lane.outbox.pending(1)[0].tap
        assert (tap.medium, tap.model_id, tap.score_e4) == (Medium.FACE, "memory/512", 10_000)


class TestBystanders:
    """Invariant 7: nobody else's face."""

    def test_nobody_outside_the_zone_is_embedded(self, scene: Scene) -> None:
        """People beside, behind and far from the lane are followed as boxes only."""
        beside = Person(BELA, x=60)
        far = Person(CARLO, x=330, width=50)

        assert scene.play(5, beside, far) == []
        assert scene.eye.embedded == []
        assert scene.eye.detections > 10

    def test_only_the_nearest_is_embedded(self, scene: Scene) -> None:
        """With somebody behind her Anna alone is looked at."""
        behind = Person(BELA, x=400, y=180, width=85)

        assert scene.play(2, Person(ANNA, x=300), behind) == ["face"]
        assert set(scene.eye.embedded) == {ANNA}

    def test_who_looks_away_is_not_embedded(self, scene: Scene) -> None:
        """Somebody in the zone who does not face the gate is never embedded, only sent on."""
        assert scene.play(6, Person(ANNA, turned=0.3)) == ["no_usable_face"]
        assert scene.eye.embedded == []

    def test_two_close_together_are_told_and_not_embedded(self, scene: Scene) -> None:
        """Two of like size get one word after a second, and neither is looked at."""
        two = (Person(ANNA, x=250), Person(BELA, x=400))

        assert scene.play(3, *two) == ["too_close_together"]
        assert scene.eye.embedded == []
        assert scene.sign is Sign.STOP

    def test_one_steps_back_and_the_other_rides(self, scene: Scene) -> None:
        """As soon as one of the two is alone she is let through."""
        scene.play(2, Person(ANNA, x=250), Person(BELA, x=400))

        assert scene.play(1, Person(ANNA, x=250)) == ["face"]

    def test_control_without_intent_the_bystander_is_embedded(self, noon: datetime) -> None:
        """Control: with a zone of the whole picture and no least width, Bela is embedded."""
        everywhere = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
        careless = IntentConfig(zone=everywhere, face_width_min_px=1)
        scene = Scene(noon, config=LaneConfig(face=FaceConfig(intent=careless)))

        scene.play(2, Person(BELA, x=80))

        assert BELA in scene.eye.embedded


class TestRefusals:
    """Who gets no way through by the face."""

    def test_a_stranger_is_sent_to_the_code_once(self, scene: Scene) -> None:
        """One answer after the second attempt; five frames are embedded and no more."""
        assert scene.play(8, Person(STRANGER)) == ["not_recognised"]
        assert scene.eye.embedded == [STRANGER] * 5
        assert scene.lane.answers[0].attempts == 2
        assert scene.sign is Sign.CODE

    def test_a_photo_is_refused(self, scene: Scene) -> None:
        """A perfect match that is not alive does not open."""
        assert scene.play(3, Person(ANNA, live=0.05)) == ["presentation_attack"]
        assert scene.lane.outbox.depth() == 0

    def test_a_doubtful_face_is_seen_longer(self, scene: Scene) -> None:
        """Liveness between the two limits opens on the second attempt, with all frames seen."""
        assert scene.play(3, Person(ANNA, live=0.6)) == ["face"]
        assert scene.lane.answers[0].attempts == 2
        assert scene.eye.embedded[:5] == [ANNA] * 5

    def test_twins_are_ambiguous(self, scene: Scene) -> None:
        """A rider whose twin is enrolled too needs a code."""
        scene.lane.enroll(99, look_of(ANNA))

        assert scene.play(3, Person(ANNA)) == ["ambiguous"]

    def test_a_blurred_face_times_out(self, scene: Scene) -> None:
        """Whoever is never seen well is told to show a code after four seconds."""
        assert scene.play(3.8, Person(ANNA, blurred=True)) == []
        assert scene.play(1, Person(ANNA, blurred=True)) == ["no_usable_face"]
        assert scene.eye.embedded == []

    def test_may_try_again_after_leaving(self, scene: Scene) -> None:
        """Refused people who leave and come back are looked at anew."""
        scene.play(3, Person(ANNA, live=0.05))
        scene.play(2)

        assert scene.play(2, Person(ANNA)) == ["face"]

    def test_a_withdrawn_rider_is_a_stranger(self, scene: Scene) -> None:
        """After her template is dropped Anna's face opens nothing."""
        scene.lane.holdings.apply([DropTemplate(UUID(int=ANNA))])

        assert scene.play(2, Person(ANNA)) == ["not_recognised"]

    def test_a_full_disk_opens_nothing(self, scene: Scene) -> None:
        """Invariant 1: without a durable tap the barrier stays shut and the screen says so."""
        scene.lane.outbox.full = True

        assert scene.play(2, Person(ANNA)) == ["tap_not_durable"]
        assert scene.lane.pipeline.view.barrier is State.CLOSED
        assert scene.sign is Sign.STOP


class TestCodes:
    """The other way in."""

    def test_a_code_opens(self, scene: Scene) -> None:
        """A stranger to the gallery rides on a code, and gets one tap for it."""
        scene.reader.shown = (scene.lane.code(77),)

        assert scene.play(2) == ["code"]
        tap = scene.lane.outbox.pending(1)[0].tap
        assert (tap.rider_ref, tap.medium) == (UUID(int=77), Medium.CODE)

    def test_refused_by_face_then_let_in_by_code(self, scene: Scene) -> None:
        """Whoever is not recognised shows a code and rides."""
        assert scene.play(2, Person(STRANGER)) == ["not_recognised"]
        scene.reader.shown = (scene.lane.code(77),)
        assert scene.play(1, Person(STRANGER)) == ["code"]

    def test_whom_only_another_model_knows_rides_on_a_code(
        self, scene: Scene, noon: datetime
    ) -> None:
        """While the model is changed a gate compares with its own model's templates alone.

        The control: with a template of the gate's model, Anna's face opens.
        """
        (ref, old) = UUID(int=ANNA), Template(UUID(int=ANNA), 2, "old/512", "plain", look_of(ANNA))
        scene.lane.holdings.apply([DropTemplate(ref), PutTemplate(old)])

        assert scene.play(2, Person(ANNA)) == ["not_recognised"]
        scene.reader.shown = (scene.lane.code(ANNA),)
        assert scene.play(1, Person(ANNA)) == ["code"]

        control = Scene(noon)
        new = replace(old, model_id="memory/512")
        control.lane.holdings.apply([DropTemplate(ref), PutTemplate(new)])
        assert control.play(2, Person(ANNA)) == ["face"]

    def test_face_and_code_of_one_rider_are_one_tap(self, scene: Scene) -> None:
        """Invariant 3: Anna is recognised while she holds her code; she is tapped once."""
        scene.reader.shown = (scene.lane.code(ANNA),)

        assert len(scene.play(6, Person(ANNA))) == 1
        assert scene.lane.outbox.depth() == 1

    def test_whoever_rides_on_a_code_is_not_looked_at(self, scene: Scene) -> None:
        """After Bela's code the face before the camera is nobody's business."""
        scene.reader.shown = (scene.lane.code(BELA),)
        first = scene.play(0.2, Person(ANNA))
        scene.reader.shown = ()
        scene.play(5, Person(ANNA))

        assert first == ["code"]
        assert scene.eye.embedded == []
        assert scene.lane.outbox.depth() == 1

    def test_a_code_held_up_goes_before_the_face(self, scene: Scene) -> None:
        """A code that comes into sight in the very frame that recognises Anna is what counts."""
        scene.play(0.2, Person(ANNA))
        scene.reader.shown = (scene.lane.code(BELA),)

        assert scene.play(2, Person(ANNA)) == ["code"]
        assert scene.lane.outbox.depth() == 1

    def test_a_useless_code_does_not_stop_the_face(self, scene: Scene) -> None:
        """Anna holds an expired code: it is refused, and her face lets her in."""
        scene.reader.shown = (scene.lane.code(ANNA, age_s=300),)

        assert scene.play(2, Person(ANNA)) == ["code_expired", "face"]

    def test_a_held_phone_is_answered_once(self, scene: Scene) -> None:
        """An expired code held before the camera for two seconds is refused once."""
        scene.reader.shown = (scene.lane.code(77, age_s=300),)

        assert scene.play(2) == ["code_expired"]
        assert scene.sign is Sign.STOP

    def test_a_code_opens_one_time(self, scene: Scene) -> None:
        """The same code shown again after it has been away is refused as replayed."""
        scene.reader.shown = (scene.lane.code(77),)
        scene.play(1)
        scene.reader.shown, used = (), scene.reader.shown
        scene.play(5)
        scene.reader.shown = used

        assert scene.play(1) == ["code_replayed"]

    def test_a_scanner_needs_no_camera(self, scene: Scene) -> None:
        """A payload from a scanner opens in the very step that brings it."""
        answers = scene.lane.step(None, scans=(scene.lane.code(77),))

        assert reasons(answers) == ["code"]


class TestAlwaysAnotherWay:
    """Invariant 11: whatever happens to the face path, a code opens."""

    def _rides_on_code(self, scene: Scene, image: object = None) -> None:
        answers = scene.lane.step(None, scans=(scene.lane.code(77),))
        assert reasons(answers) == ["code"]

    def test_models_refused(self, noon: datetime) -> None:
        """Without models the screen asks for a code, says why, and the code opens."""
        scene = Scene(noon, eye=None)
        assert scene.play(2, Person(ANNA)) == []
        assert scene.lane.pipeline.view.screen.reason is DenyReason.MODEL_REFUSED

        scene.reader.shown = (scene.lane.code(77),)
        assert scene.play(1) == ["code"]

    @pytest.mark.parametrize(
        ("break_it", "reason"),
        [
            (lambda s: s.lane.holdings.renew(Lease(), None), DenyReason.GALLERY_STALE),
            (
                lambda s: s.lane.holdings.apply([DropTemplate(r) for r in s.riders.values()]),
                DenyReason.GALLERY_EMPTY,
            ),
        ],
    )
    def test_gallery_unusable(self, break_it: object, reason: DenyReason, scene: Scene) -> None:
        """With a gallery that may not be used nobody is embedded, and a code opens."""
        break_it(scene)  # type: ignore[operator]

        assert scene.play(1, Person(ANNA)) == []
        assert scene.eye.embedded == []
        assert scene.lane.pipeline.view.shut is reason
        scene.reader.shown = (scene.lane.code(77),)
        assert scene.play(1, Person(ANNA)) == ["code"]

    def test_gallery_too_large(self, noon: datetime) -> None:
        """Beyond the size that the model supports nobody is embedded, and a code opens."""
        scene = Scene(noon, threshold=None)

        assert scene.play(1, Person(ANNA)) == []
        assert scene.lane.pipeline.view.shut is DenyReason.GALLERY_TOO_LARGE
        self._rides_on_code(scene)

    def test_gallery_of_another_model(self, noon: datetime) -> None:
        """Invariant 9: an eye of another model than the gallery's embeds nobody."""
        scene = Scene(noon)
        scene.eye.model_id = "other/512"

        assert scene.play(1, Person(ANNA)) == []
        assert scene.eye.embedded == []
        assert scene.lane.pipeline.view.shut is DenyReason.SPACE_MISMATCH

    def test_camera_black(self, scene: Scene) -> None:
        """Within two seconds of darkness the lane says so; a scanned code opens."""
        scene.play(1)
        dark = scene.eye.show() // 50
        scene.lane.play(2, lambda _: dark.copy())

        assert scene.lane.pipeline.view.shut is DenyReason.CAMERA_BLACK
        self._rides_on_code(scene)

    def test_camera_lost_and_back(self, scene: Scene) -> None:
        """Two seconds without a frame shut the face path; the first frame opens it again."""
        scene.play(1)
        scene.lane.play(2, lambda _: None)
        assert scene.lane.pipeline.view.shut is DenyReason.CAMERA_LOST
        self._rides_on_code(scene)

        scene.play(8)
        assert scene.play(1, Person(ANNA)) == ["face"]

    def test_evidence_does_not_outlive_a_fault(self, scene: Scene) -> None:
        """What was seen before the camera failed is not used after it."""
        scene.play(0.25, Person(ANNA))
        seen = len(scene.eye.embedded)
        scene.lane.play(2, lambda _: None)
        scene.play(0.5, Person(BELA))

        assert scene.lane.answers[-1].rider_ref == UUID(int=BELA)
        assert scene.eye.embedded[seen:] == [BELA, BELA]

    def test_a_code_camera_of_its_own_outlives_the_face_camera(self, scene: Scene) -> None:
        """With the face camera lost, codes are read from the frames of the other camera."""
        scene.play(1)
        scene.lane.play(2, lambda _: None)
        scene.reader.shown = (scene.lane.code(77),)
        frame = Frame(scene.eye.show(), 1, scene.lane.now_s)

        answers = scene.lane.pipeline.step(
            None, scene.lane.moment, code_frame=frame, own_code_camera=True
        )

        assert scene.lane.pipeline.view.shut is DenyReason.CAMERA_LOST
        assert reasons(answers) == ["code"]

    def test_with_a_code_camera_of_its_own_the_face_camera_reads_no_codes(
        self, scene: Scene
    ) -> None:
        """A lane with two cameras spends no time on codes in the face camera's frames."""
        scene.reader.shown = (scene.lane.code(77),)
        frame = Frame(scene.eye.show(), 1, scene.lane.now_s)

        answers = scene.lane.pipeline.step(frame, scene.lane.moment, own_code_camera=True)

        assert answers == ()

    def test_barrier_fault(self, noon: datetime) -> None:
        """A turnstile that does not answer refuses everybody and says so."""
        turnstile = MemoryTurnstile()
        scene = Scene(noon, turnstile=turnstile)
        turnstile.broken = True

        assert scene.play(2, Person(ANNA)) == ["barrier_fault"]
        assert scene.lane.pipeline.view.screen.reason is DenyReason.BARRIER_FAULT


class TestQueue:
    """One after the other."""

    def test_the_next_rider_waits_for_the_first(self, scene: Scene) -> None:
        """Bela is recognised while Anna passes, and let through when she has."""
        assert scene.play(0.6, Person(ANNA)) == ["face"]
        assert scene.play(0.3, Person(BELA, x=450)) == []
        assert scene.play(3, Person(BELA, x=450)) == ["face"]

        taps = [sealed.tap.rider_ref.int for sealed in scene.lane.outbox.pending(9)]
        assert taps == [ANNA, BELA]

    def test_who_did_not_pass_is_let_in_again_on_the_same_tap(self, noon: datetime) -> None:
        """Anna turns back, the barrier closes, she comes again: one tap, two openings."""
        scene = Scene(noon, turnstile=SimTurnstile([NoShow()]))
        scene.play(1, Person(ANNA))
        scene.play(5)

        assert scene.play(1, Person(ANNA)) == ["face"]
        assert scene.lane.answers[-1].again
        assert scene.lane.outbox.depth() == 1

    def test_who_has_passed_and_is_still_seen_changes_nothing(self, scene: Scene) -> None:
        """Anna lingers behind the gate in view of the camera: no second tap, no refusal."""
        assert scene.play(1, Person(ANNA)) == ["face"]
        scene.play(1.6)  # the detector loses her, so she is followed anew

        assert scene.play(3, Person(ANNA)) == []
        assert scene.lane.outbox.depth() == 1

    def test_a_track_that_changes_hands_serves_the_next(self, scene: Scene) -> None:
        """Bela steps into Anna's place between two frames: she is served when Anna has passed."""
        scene.play(1, Person(ANNA))

        assert scene.play(4, Person(BELA)) == ["face"]
        assert scene.lane.answers[-1].rider_ref == UUID(int=BELA)

    def test_a_grant_is_not_kept_for_ever(self, noon: datetime) -> None:
        """A recognised rider behind a slow passage is looked at anew after three seconds."""
        scene = Scene(noon, turnstile=MemoryTurnstile())
        scene.play(0.6, Person(ANNA))
        scene.play(0.6, Person(BELA, x=450))
        before = len(scene.eye.embedded)

        scene.play(3.5, Person(BELA, x=450))

        assert len(scene.eye.embedded) > before


class TestIdle:
    """What an empty lane costs."""

    def test_an_empty_lane_is_searched_once_a_second(self, scene: Scene) -> None:
        """Ten seconds of an empty hall are ten looks, not 150."""
        scene.play(10)

        assert scene.eye.detections <= 12

    def test_control_somebody_in_view_is_searched_at_every_frame(self, scene: Scene) -> None:
        """Control: somebody far away is followed at the full rate."""
        scene.play(4, Person(ANNA, width=50))

        assert scene.eye.detections > 45


def _exempt(*modes: Mode) -> PutSetting:
    return PutSetting(written(StationMode(frozenset(modes))))


def _denied(rider: int, reason: DenialReason = DenialReason.DEBT) -> PutDenial:
    return PutDenial(Denial(UUID(int=rider), reason, datetime(2026, 5, 4, tzinfo=UTC)))


class TestDenyList:
    """Anna is on it."""

    def test_is_refused_by_face_and_by_code(self, scene: Scene) -> None:
        """Neither medium opens a way in, no tap is made, and the others pass."""
        scene.lane.holdings.apply([_denied(ANNA)])

        assert scene.play(1, Person(ANNA)) == ["denied_debt"]
        assert scene.sign is Sign.STOP
        scene.play(3)
        assert reasons(scene.lane.step(None, scans=[scene.lane.code(ANNA)])) == ["denied_debt"]
        assert scene.lane.outbox.depth() == 0
        assert scene.play(1, Person(BELA)) == ["face"]

    def test_a_withdrawn_rider_s_code_is_refused_at_once(self, scene: Scene) -> None:
        """A code made before the withdrawal, good for another minute, no longer opens."""
        code = scene.lane.code(ANNA)

        scene.lane.holdings.apply([_denied(ANNA, DenialReason.WITHDRAWN)])

        assert reasons(scene.lane.step(None, scans=[code])) == ["denied_withdrawn"]

    def test_control_the_same_code_opens_without_the_denial(self, scene: Scene) -> None:
        """Control: it is the deny list that refuses, not the code."""
        assert reasons(scene.lane.step(None, scans=[scene.lane.code(ANNA)])) == ["code"]

    def test_is_let_out_with_a_flag(self, noon: datetime) -> None:
        """At a way out the barrier opens, and tap, answer and log say that she was on it."""
        scene = Scene(noon, direction=Direction.EXIT)
        scene.lane.holdings.apply([_denied(ANNA)])

        assert scene.play(1, Person(ANNA)) == ["face"]
        assert scene.lane.outbox.pending(1)[0].tap.flags == {TapFlag.DENIED}
        assert scene.lane.answers[0].fields()["flags"] == "denied"
        assert scene.sign is Sign.GO


class TestModes:
    """What the station leaves out."""

    def test_taps_carry_what_is_left_out(self, scene: Scene) -> None:
        """Face and code make taps with the mode's flags, and riders read of it."""
        scene.lane.holdings.apply([_exempt(Mode.FARE_EXEMPT, Mode.TIME_EXEMPT)])

        scene.play(3, Person(ANNA))
        scene.lane.step(None, scans=[scene.lane.code(BELA)])

        flags = [sealed.tap.flags for sealed in scene.lane.outbox.pending(9)]
        assert flags == [{TapFlag.FARE_EXEMPT, TapFlag.TIME_EXEMPT}] * 2
        assert "free" in scene.lane.pipeline.view.screen.note
        assert scene.lane.answers[-1].flags == (TapFlag.FARE_EXEMPT, TapFlag.TIME_EXEMPT)

    def test_after_the_mode_taps_carry_nothing(self, scene: Scene) -> None:
        """A dropped mode leaves no trace on later taps and screens."""
        scene.lane.holdings.apply([_exempt(Mode.FARE_EXEMPT)])
        scene.lane.holdings.apply([DropSetting(SettingName.MODE)])

        scene.play(1, Person(ANNA))

        assert scene.lane.outbox.pending(1)[0].tap.flags == frozenset()
        assert scene.lane.pipeline.view.screen.note == ""

    def test_emergency_release_opens_and_looks_at_nobody(self, noon: datetime) -> None:
        """The barrier stands open, everybody is counted, nobody is embedded or recorded."""
        turnstile = MemoryTurnstile()
        scene = Scene(noon, turnstile=turnstile)
        scene.lane.holdings.apply([_exempt(Mode.EMERGENCY_RELEASE)])

        scene.play(1, Person(ANNA))
        for _ in range(3):
            turnstile.sense(Event.ENTERED, Event.LEFT)
            scene.play(0.5, Person(BELA))
        scene.lane.step(None, scans=[scene.lane.code(CARLO)])

        assert turnstile.is_open
        assert scene.lane.pipeline.view.passages == 3
        assert scene.eye.embedded == []
        assert (scene.lane.answers, scene.lane.outbox.depth()) == ([], 0)
        assert scene.lane.pipeline.view.screen.headline == "Walk through"

        scene.lane.holdings.apply([DropSetting(SettingName.MODE)])
        scene.play(0.2)
        assert not turnstile.is_open
        assert scene.play(1, Person(ANNA)) == ["face"]  # control: she is looked at again


class TestClock:
    """A node whose clock is off."""

    def test_a_code_is_not_judged_by_a_wrong_clock(self, scene: Scene) -> None:
        """Six seconds off, more than the codes' budget, a genuine code is refused and kept good."""
        code = scene.lane.code(ANNA)
        scene.lane.clock_error_ms = 6_000

        assert reasons(scene.lane.step(None, scans=[code])) == ["clock_unsure"]
        scene.lane.now_s += 4
        scene.lane.clock_error_ms = 4_000

        assert reasons(scene.lane.step(None, scans=[code])) == ["code"]
        assert scene.lane.outbox.pending(1)[0].tap.clock_error_ms == 4_000
