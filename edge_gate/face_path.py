"""Frames of one lane in, recognised or refused people out.

Calls the stages in their order and keeps one approach a track; each rule stands in its stage.
Nobody is embedded but the track that `edge_gate.intent` names, and nobody after their answer.
"""

from dataclasses import dataclass, field

from edge_gate import gaze
from edge_gate.approach import Approach, ApproachConfig
from edge_gate.crowd import Crowd, CrowdConfig
from edge_gate.decide import DecideConfig, closed
from edge_gate.eye import Eye
from edge_gate.face import Face, Frame
from edge_gate.holdings import Holdings
from edge_gate.intent import (
    Intent,
    IntentConfig,
    MeansToPass,
    NobodyThere,
    NotYet,
    TooCloseTogether,
    judge,
)
from edge_gate.lap import Laps
from edge_gate.moment import Moment
from edge_gate.pace import Pace
from edge_gate.quality import QualityConfig
from edge_gate.reason import Deny, DenyReason
from edge_gate.sight import Recognised, Sight, Unrecognised
from edge_gate.track import Track, TrackConfig, Tracker
from edge_gate.visitors import Visitors, VisitorsConfig
from edge_gate.watch import CameraState, CameraWatch, WatchConfig


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """The stages' own configurations."""

    watch: WatchConfig = field(default_factory=WatchConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    intent: IntentConfig = field(default_factory=IntentConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    approach: ApproachConfig = field(default_factory=ApproachConfig)
    decide: DecideConfig = field(default_factory=DecideConfig)
    crowd: CrowdConfig = field(default_factory=CrowdConfig)
    visitors: VisitorsConfig = field(default_factory=VisitorsConfig)


class FacePath:
    """One lane's eye and memory; one thread."""

    def __init__(
        self,
        eye: Eye | None,
        holdings: Holdings,
        config: FaceConfig,
        *,
        pace: Pace,
        laps: Laps,
    ) -> None:
        """Begin with nobody in view.

        Args:
            eye: None when its models were refused: then no face opens here.
            holdings: The station's gallery.
            config: Of every stage.
            pace: How often to look.
            laps: Where the stages' times go.
        """
        self._eye = eye
        self._holdings = holdings
        self._config = config
        self._pace = pace
        self._laps = laps
        self._watch = CameraWatch(laps.now_s(), config.watch)
        self._tracker = Tracker(config.track)
        self._visitors = Visitors(config.visitors)
        self._followed = False
        self._nearest: int | None = None
        self._crowd = Crowd(config.crowd)
        self._shut: DenyReason | None = DenyReason.CAMERA_LOST

    @property
    def camera(self) -> CameraState:
        """The camera's state."""
        return self._watch.state

    @property
    def shut(self) -> DenyReason | None:
        """Why no face can open this lane now; None if one can."""
        return self._shut

    @property
    def busy(self) -> bool:
        """Whether somebody in the zone is still being looked at."""
        approach = self._visitors.find(self._nearest)
        return approach is not None and not approach.over

    @property
    def standing_refusal(self) -> DenyReason | None:
        """Why the person who stands in the zone was refused; None if they were not."""
        approach = self._visitors.find(self._nearest)
        if approach is not None and isinstance(approach.verdict, Deny):
            return approach.verdict.reason
        return DenyReason.TOO_CLOSE_TOGETHER if self._crowd.told else None

    def step(self, frame: Frame | None, now: Moment) -> Sight:
        """Take the newest frame, or None if there is no new one."""
        with self._laps.of("watch"):
            self._shut = self._why_shut(self._watch.step(frame, now.mono_s), now)
        if self._shut is not None or self._eye is None:
            self._forget()
            return None
        if frame is None:
            return None
        if not self._pace.faces_due(frame.image, frame.arrival_s, followed=self._followed):
            return None
        return self._see(self._eye, frame, now)

    def rest(self, frame: Frame | None, now: Moment) -> None:
        """Watch the camera, but look at nobody: the barriers are open for everybody."""
        self._shut = self._why_shut(self._watch.step(frame, now.mono_s), now)
        self._forget()

    def close(self) -> None:
        """Look no more: the eye failed in a way that no adapter foresaw."""
        self._eye = None
        self._shut = DenyReason.MODEL_REFUSED
        self._forget()

    def settled(self, track_id: int) -> None:
        """Note that a recognised rider got an answer from the passage."""
        self._visitors.settled(track_id)

    def passed(self) -> None:
        """Note that somebody went through."""
        self._visitors.passed()

    def excuse(self) -> None:
        """Look no more at the person in the zone: they rode on a code."""
        if self._nearest is not None:
            self._visitors.excuse(self._nearest)

    def _why_shut(self, camera: CameraState, now: Moment) -> DenyReason | None:
        if self._eye is None:
            return DenyReason.MODEL_REFUSED
        if camera.reason is not None:
            return camera.reason
        if self._eye.embedder.model_id != self._holdings.gallery.space.model_id:
            return DenyReason.SPACE_MISMATCH
        shut = closed(self._holdings.standing, now)
        return shut.reason if shut else None

    def _forget(self) -> None:
        """Drop all evidence: what was seen before a fault proves nothing after it."""
        self._visitors.clear()
        self._followed, self._nearest = False, None
        self._crowd.dissolve()

    def _see(self, eye: Eye, frame: Frame, now: Moment) -> Sight:
        with self._laps.of("detect"):
            faces = eye.detector.detect(frame.image)
        high, wide = frame.image.shape[:2]
        with self._laps.of("track"):
            tracks = self._tracker.step(faces, frame.arrival_s)
            intent = judge(
                tracks, now_s=frame.arrival_s, size=(wide, high), config=self._config.intent
            )
        self._followed = bool(tracks)
        self._visitors.see(tracks, frame.arrival_s)
        return self._follow(eye, intent, frame, now)

    def _follow(self, eye: Eye, intent: Intent, frame: Frame, now: Moment) -> Sight:
        if not isinstance(intent, TooCloseTogether | NotYet):
            self._crowd.dissolve()
        match intent:
            case NobodyThere():
                self._nearest = None
                return None
            case TooCloseTogether():
                self._nearest = None
                return self._crowd.stands(frame.arrival_s)
            case NotYet(track):
                return self._attend(eye, track, frame, now, chosen=False)
            case MeansToPass(track):
                return self._attend(eye, track, frame, now, chosen=True)

    def _attend(self, eye: Eye, track: Track, frame: Frame, now: Moment, *, chosen: bool) -> Sight:
        """Look at the one in the zone; only the chosen are embedded."""
        self._nearest = track.track_id
        approach = self._visitors.approach(track, frame.arrival_s)
        if approach is None:
            return None
        if approach.over:
            waiting = self._visitors.waiting(track.track_id, frame.arrival_s)
            return waiting if chosen else None
        if track.seen_at(frame.arrival_s):
            approach = self._see_face(eye, approach, track.face, frame, chosen=chosen)
        if approach.due(self._config.approach):
            return self._attempt(eye, approach, frame, now)
        return self._late(approach, frame.arrival_s)

    def _see_face(
        self, eye: Eye, approach: Approach, face: Face, frame: Frame, *, chosen: bool
    ) -> Approach:
        usable = gaze.worth(eye, frame.image, face, self._config.quality, self._laps)
        if usable is None:
            return approach
        approach = approach.usable_from(frame.arrival_s)
        seen = gaze.sight(eye, frame.image, face, usable, self._laps) if chosen else None
        if seen is not None:
            approach = approach.seen(seen)
        self._visitors.put(approach)
        return approach

    def _attempt(self, eye: Eye, approach: Approach, frame: Frame, now: Moment) -> Sight:
        """Search and decide on what was seen so far."""
        config = self._config
        decision, best = gaze.answer(
            eye, self._holdings, approach, (config.approach, config.decide), now, self._laps
        )
        live = approach.live()
        approach = approach.answered(decision, config.approach)
        self._visitors.put(approach)
        if isinstance(decision, Deny):
            if approach.over:
                return Unrecognised(decision.reason, best, live, approach.attempts)
            return self._late(approach, frame.arrival_s)
        assert approach.first_usable_s is not None
        recognised = Recognised(
            approach.track_id,
            grant=decision,
            live=live,
            attempts=approach.attempts,
            first_usable_s=approach.first_usable_s,
            frame_s=frame.arrival_s,
        )
        self._visitors.recognised(recognised)
        return recognised

    def _late(self, approach: Approach, now_s: float) -> Sight:
        if not approach.late(now_s, self._config.approach):
            return None
        ended = approach.gave_up()
        self._visitors.put(ended)
        assert isinstance(ended.verdict, Deny)
        live = approach.live() if approach.sightings else None
        return Unrecognised(ended.verdict.reason, None, live, approach.attempts)
