"""One lane, one step at a time: a frame in, answers out.

Calls face path, code path and passage in order, and holds no rules of its own. Either path may
fail without the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edge_gate.answer import Answer
from edge_gate.barrier import BarrierConfig, State
from edge_gate.code_path import CodeConfig, CodePath, CodeReader, Presented
from edge_gate.eye import Eye
from edge_gate.face import Frame
from edge_gate.face_path import FaceConfig, FacePath
from edge_gate.holdings import Holdings
from edge_gate.lap import Laps
from edge_gate.moment import Moment
from edge_gate.orders import admitted
from edge_gate.pace import Pace, PaceConfig
from edge_gate.passage import Passage
from edge_gate.reason import Deny, DenyReason
from edge_gate.ride_code import Refused
from edge_gate.screen import RELEASED, Display, DisplayConfig, Screen, note
from edge_gate.sight import Recognised, Unrecognised
from edge_gate.tapping import Credential, Ignored, MayPass, Outcome, Place, Quiet, Tapper
from edge_gate.turnstile import Turnstile
from edge_gate.watch import CameraState
from fare.tap import Medium, TapFlag


@dataclass(frozen=True, slots=True)
class LaneConfig:
    """The configurations of everything in a lane."""

    face: FaceConfig = field(default_factory=FaceConfig)
    code: CodeConfig = field(default_factory=CodeConfig)
    pace: PaceConfig = field(default_factory=PaceConfig)
    barrier: BarrierConfig = field(default_factory=BarrierConfig)
    display: DisplayConfig = field(default_factory=DisplayConfig)


@dataclass(frozen=True, slots=True)
class Organs:
    """What a lane sees, knows and moves with."""

    eye: Eye | None
    """None when the models were refused."""
    reader: CodeReader
    holdings: Holdings
    tapper: Tapper
    turnstile: Turnstile


@dataclass(frozen=True, slots=True)
class LaneView:
    """What a lane shows to the rider and to staff; swapped as a whole at each step."""

    screen: Screen
    camera: CameraState
    barrier: State
    passages: int
    shut: DenyReason | None
    """Why no face can open; None if one can."""


class LanePipeline:
    """One lane; one thread steps it, any thread reads `view`."""

    def __init__(self, place: Place, organs: Organs, config: LaneConfig, laps: Laps) -> None:
        """Begin with a closed barrier and nobody in view.

        Args:
            place: Where the lane is.
            organs: Shared with the station's other lanes, but for the turnstile.
            config: Of every stage.
            laps: The stopwatch, whose clock also times the answers.
        """
        pace = Pace(config.pace)
        self._laps = laps
        self._holdings = organs.holdings
        self._passage = Passage(place, organs.tapper, organs.turnstile, config.barrier)
        self._faces = FacePath(organs.eye, organs.holdings, config.face, pace=pace, laps=laps)
        self._codes = CodePath(organs.reader, organs.holdings, config.code, pace=pace, laps=laps)
        self._display = Display(config.display)
        self._in_faces = False
        self._view = self._look(laps.now_s())

    @property
    def place(self) -> Place:
        """Where the lane is."""
        return self._passage.place

    @property
    def view(self) -> LaneView:
        """What the lane shows, as of the last step."""
        return self._view

    @property
    def laps(self) -> Laps:
        """How long each stage of the newest frame took."""
        return self._laps

    def step(
        self,
        frame: Frame | None,
        now: Moment,
        *,
        code_frame: Frame | None = None,
        own_code_camera: bool = False,
        scans: Sequence[bytes] = (),
    ) -> tuple[Answer, ...]:
        """Take what came since the last step and return the answers given.

        Args:
            frame: The newest frame of the lane's camera; None if there is no new one.
            now: The moment.
            code_frame: The newest frame of the code camera, where the lane has one of its own.
            own_code_camera: Whether it has; if not, codes are looked for in `frame`.
            scans: Payloads read by a scanner since the last step.
        """
        self._laps.begin()
        before = self._passage.passages
        self._passage.tick(now)
        if self._passage.passages > before:
            self._faces.passed()
        if self._holdings.orders.mode.released:
            self._passage.release(now)
            self._faces.rest(frame, now)
            self._show((), now.mono_s)
            return ()
        self._passage.recall(now)
        answers: list[Answer] = []
        self._in_faces = True
        sight = self._faces.step(frame, now)
        self._in_faces = False
        # Whoever holds up a code wants to ride on it, even if the face would do.
        shown = code_frame if own_code_camera else frame
        at_once = isinstance(sight, Recognised)
        for presented in self._codes.step(shown, now, scans, at_once=at_once):
            answers += self._presented(presented, now)
        if isinstance(sight, Recognised) and not any(a.reason is None for a in answers):
            answers += self._recognised(sight, now)
        elif isinstance(sight, Unrecognised):
            answers.append(_refused(sight))
        self._show(answers, now.mono_s)
        return tuple(answers)

    def reset(self, now: Moment) -> None:
        """Put the barrier back into service: staff have looked."""
        self._passage.reset(now)

    def shut_failed_path(self) -> None:
        """Give up the face path if the last step failed in it: codes must go on."""
        if self._in_faces:
            self._in_faces = False
            self._faces.close()

    def _recognised(self, sight: Recognised, now: Moment) -> list[Answer]:
        grant = sight.grant
        credential = Credential(
            grant.rider_ref,
            Medium.FACE,
            model_id=self._holdings.gallery.space.model_id,
            score_e4=round(10_000 * grant.score),
        )
        outcome = self._present(credential, now)
        opened_s = self._laps.now_s()
        if outcome == Ignored(Quiet.PASSAGE_IN_PROGRESS):
            return []
        self._faces.settled(sight.track_id)
        if isinstance(outcome, Ignored):
            return []
        opened = isinstance(outcome, MayPass)
        return [
            Answer(
                Medium.FACE,
                outcome.reason if isinstance(outcome, Deny) else None,
                grant.rider_ref,
                score=grant.score,
                margin=grant.margin,
                live=sight.live,
                attempts=sight.attempts,
                again=isinstance(outcome, MayPass) and outcome.again,
                flags=_flags(outcome),
                deciding_frame_to_open_ms=_ms(sight.frame_s, opened_s) if opened else None,
                first_usable_to_open_ms=_ms(sight.first_usable_s, opened_s) if opened else None,
            )
        ]

    def _presented(self, presented: Presented, now: Moment) -> list[Answer]:
        result = presented.result
        if isinstance(result, Refused):
            self._codes.answered(presented, now)
            return [Answer(Medium.CODE, result.reason)]
        credential = Credential(result.rider_ref, Medium.CODE, code_id=result.code_id)
        outcome = self._present(credential, now)
        opened_s = self._laps.now_s()
        if outcome == Ignored(Quiet.PASSAGE_IN_PROGRESS):
            return []
        self._codes.answered(presented, now)
        match outcome:
            case Ignored():
                return []
            case Deny(reason):
                return [Answer(Medium.CODE, reason, result.rider_ref)]
            case MayPass(tap, again):
                self._faces.excuse()
                took_ms = _ms(presented.frame_s, opened_s)
                return [
                    Answer(
                        Medium.CODE,
                        None,
                        result.rider_ref,
                        again=again,
                        flags=tuple(sorted(tap.flags)),
                        deciding_frame_to_open_ms=took_ms,
                    )
                ]

    def _present(self, credential: Credential, now: Moment) -> Outcome:
        direction = self.place.direction
        flags = admitted(self._holdings.orders, credential.rider_ref, direction, now.wall)
        if isinstance(flags, Deny):
            return flags
        credential = replace(credential, flags=flags)
        with self._laps.of("tap"):
            return self._passage.present(credential, now)

    def _show(self, answers: Sequence[Answer], now_s: float) -> None:
        standing = self._faces.standing_refusal
        if standing is not None and self._passage.state is State.CLOSED:
            self._display.refuse(standing, now_s)
        for answer in answers:
            if answer.reason is None:
                self._display.clear()
            else:
                self._display.refuse(answer.reason, now_s)
        self._view = self._look(now_s)

    def _look(self, now_s: float) -> LaneView:
        state, mode = self._passage.state, self._holdings.orders.mode
        if state is State.RELEASED:
            passages = self._passage.passages
            return LaneView(RELEASED, self._faces.camera, state, passages, self._faces.shut)
        shut = DenyReason.BARRIER_FAULT if state is State.FAULT else self._faces.shut
        screen = self._display.show(
            now_s,
            is_open=state in (State.OPEN, State.PASSING),
            busy=self._faces.busy,
            shut=shut,
        )
        screen = replace(screen, note=note(mode))
        return LaneView(screen, self._faces.camera, state, self._passage.passages, shut)


def _refused(sight: Unrecognised) -> Answer:
    return Answer(
        Medium.FACE, sight.reason, score=sight.score, live=sight.live, attempts=sight.attempts
    )


def _flags(outcome: Outcome) -> tuple[TapFlag, ...]:
    return tuple(sorted(outcome.tap.flags)) if isinstance(outcome, MayPass) else ()


def _ms(from_s: float, to_s: float) -> float:
    return 1000 * (to_s - from_s)
