"""Frames of one lane in, recognised or refused people out.

Calls the stages in their order and keeps one approach a track; each rule stands in its stage.
Nobody is embedded but the track that `edge_gate.intent` names, and nobody after their answer.
"""

from dataclasses import dataclass, field, replace

from edge_gate.align import DegenerateLandmarks
from edge_gate.approach import Approach, ApproachConfig, Sighting
from edge_gate.crowd import Crowd, CrowdConfig
from edge_gate.decide import DecideConfig, Decision, Evidence, Grant, closed, decide
from edge_gate.embed import NoDirection
from edge_gate.eye import Eye
from edge_gate.face import Frame, Image
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
from edge_gate.quality import QualityConfig, Usable, assess
from edge_gate.reason import Deny, DenyReason
from edge_gate.search import Probe
from edge_gate.sight import Recognised, Sight, Unrecognised
from edge_gate.track import Track, TrackConfig, Tracker
from edge_gate.watch import CameraState, CameraWatch, WatchConfig


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """The stages' own configurations, and what only their sum can know."""

    watch: WatchConfig = field(default_factory=WatchConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    intent: IntentConfig = field(default_factory=IntentConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    approach: ApproachConfig = field(default_factory=ApproachConfig)
    decide: DecideConfig = field(default_factory=DecideConfig)
    crowd: CrowdConfig = field(default_factory=CrowdConfig)
    grant_hold_s: float = 3.0
    """How long a recognised rider may wait for the passage of the one before, seconds, >= 0;
    afterwards they are looked at anew."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: One is out of range.
        """
        if self.grant_hold_s < 0:
            raise ValueError(f"out of range: {self.grant_hold_s}")


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
        self._approaches: dict[int, Approach] = {}
        self._waiting: dict[int, Recognised] = {}
        self._excused: set[int] = set()
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
        approach = self._approaches.get(-1 if self._nearest is None else self._nearest)
        return approach is not None and not approach.over

    @property
    def standing_refusal(self) -> DenyReason | None:
        """Why the person who stands in the zone was refused; None if they were not."""
        approach = self._approaches.get(-1 if self._nearest is None else self._nearest)
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

    def close(self) -> None:
        """Look no more: the eye failed in a way that no adapter foresaw."""
        self._eye = None
        self._shut = DenyReason.MODEL_REFUSED
        self._forget()

    def settled(self, track_id: int) -> None:
        """Note that a recognised rider got an answer from the passage."""
        self._waiting.pop(track_id, None)

    def passed(self) -> None:
        """Note that somebody went through: whoever is still followed is looked at anew.

        A track that went on with the next in the queue must not leave them unserved.
        """
        for track_id, approach in tuple(self._approaches.items()):
            if isinstance(approach.verdict, Grant) and track_id not in self._waiting:
                del self._approaches[track_id]

    def excuse(self) -> None:
        """Look no more at the person in the zone: they rode on a code."""
        if self._nearest is not None:
            self._excused.add(self._nearest)
            self._approaches.pop(self._nearest, None)
            self._waiting.pop(self._nearest, None)

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
        self._approaches.clear()
        self._waiting.clear()
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
        self._keep_only({track.track_id for track in tracks})
        return self._follow(eye, intent, frame, now)

    def _keep_only(self, alive: set[int]) -> None:
        for memory in (self._approaches, self._waiting):
            for gone in memory.keys() - alive:
                del memory[gone]
        self._excused &= alive

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
        if track.track_id in self._excused:
            return None
        fresh = Approach(track.track_id, began_s=frame.arrival_s)
        approach = self._approaches.setdefault(track.track_id, fresh)
        if approach.over:
            return self._still_waiting(approach, frame.arrival_s) if chosen else None
        seen = self._crop(eye, track, frame) if track.seen_at(frame.arrival_s) else None
        if seen is not None:
            approach = approach.usable_from(frame.arrival_s)
            sighting = self._sighting(eye, track, frame, *seen) if chosen else None
            if sighting is not None:
                approach = approach.seen(sighting)
            self._approaches[track.track_id] = approach
        if approach.due(self._config.approach):
            return self._attempt(eye, approach, frame, now)
        return self._late(approach, frame.arrival_s)

    def _crop(self, eye: Eye, track: Track, frame: Frame) -> tuple[Image, float] | None:
        """Return the aligned face and its quality; None if it is not worth embedding."""
        try:
            with self._laps.of("align"):
                crop = eye.warp(frame.image, track.face.landmarks)
        except DegenerateLandmarks:
            return None
        with self._laps.of("quality"):
            quality = assess(track.face, crop, self._config.quality)
        return (crop, quality.score) if isinstance(quality, Usable) else None

    def _sighting(
        self, eye: Eye, track: Track, frame: Frame, crop: Image, quality: float
    ) -> Sighting | None:
        with self._laps.of("liveness"):
            live = eye.liveness.live(frame.image, track.face)
        with self._laps.of("embed"):
            try:
                return Sighting(eye.embedder.embed((crop,))[0], quality, live)
            except NoDirection:
                return None

    def _attempt(self, eye: Eye, approach: Approach, frame: Frame, now: Moment) -> Sight:
        """Search and decide on what was seen so far."""
        live = approach.live()
        decision, best = self._answer(eye, approach, live, now)
        approach = approach.answered(decision, self._config.approach)
        self._approaches[approach.track_id] = approach
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
        self._waiting[approach.track_id] = recognised
        return recognised

    def _answer(
        self, eye: Eye, approach: Approach, live: float, now: Moment
    ) -> tuple[Decision, float | None]:
        """Return the decision and the best score, None where nothing could be searched."""
        gallery = self._holdings.gallery
        # The transform is the gallery's own; the model was compared when the path was opened.
        space = replace(gallery.space, model_id=eye.embedder.model_id)
        try:
            with self._laps.of("search"):
                probe = approach.probe(self._config.approach)
                candidates = gallery.search(Probe(probe, space))
        except NoDirection:
            # Frames that cancel out are not of one person.
            return Deny(DenyReason.AMBIGUOUS), None
        with self._laps.of("decide"):
            evidence = Evidence(candidates, live)
            # Read after the search: the threshold is raised before a gallery grows.
            decision = decide(
                evidence, self._holdings.standing, now=now, config=self._config.decide
            )
        return decision, candidates.scores[0] if candidates.scores else None

    def _still_waiting(self, approach: Approach, now_s: float) -> Sight:
        """Offer a recognised rider again whose way was not free."""
        waiting = self._waiting.get(approach.track_id)
        if waiting is not None and now_s - waiting.frame_s > self._config.grant_hold_s:
            del self._approaches[approach.track_id], self._waiting[approach.track_id]
            return None
        return waiting

    def _late(self, approach: Approach, now_s: float) -> Sight:
        if not approach.late(now_s, self._config.approach):
            return None
        ended = approach.gave_up()
        self._approaches[approach.track_id] = ended
        assert isinstance(ended.verdict, Deny)
        live = approach.live() if approach.sightings else None
        return Unrecognised(ended.verdict.reason, None, live, approach.attempts)
