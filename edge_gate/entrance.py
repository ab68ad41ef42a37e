"""Frames of an entrance camera in, at most one look a person out; nobody is answered or kept.

An entrance has a camera and no barrier. It sees as a lane does (detect, track, intent, quality,
liveness, embed), so only who stands in its marked zone and faces the camera is embedded; the look
goes to the cloud once and is forgotten. No tap, no screen, no name: the station never learns whom
the cloud recognised, it only finds their template in its view.
"""

from dataclasses import dataclass, field
from typing import Protocol

from cloud_sync.master.presence import Allowance, Look, Outcome
from edge_gate import gaze
from edge_gate.approach import Approach, ApproachConfig
from edge_gate.embed import NoDirection
from edge_gate.eye import Eye
from edge_gate.face import Frame
from edge_gate.intent import IntentConfig, MeansToPass, judge
from edge_gate.lap import Laps
from edge_gate.quality import QualityConfig
from edge_gate.track import Track, TrackConfig, Tracker
from edge_gate.watch import CameraState, CameraWatch, WatchConfig

TRANSFORM = "plain"
"""A look is sent in the model's own space; the cloud turns it where its templates are turned."""


class Identify(Protocol):
    """The way to the cloud's search for whoever comes."""

    def identify(self, look: Look) -> Outcome | None:
        """Ask the cloud to make this station ready; never raises for what the network does.

        Args:
            look: Forgotten when this returns.

        Returns:
            The cloud's answer, which names nobody; None without one. Nothing is sent again.
        """
        ...


@dataclass(frozen=True, slots=True)
class EntranceConfig:
    """The stages of an entrance, as a lane has them, and how much it may send."""

    watch: WatchConfig = field(default_factory=WatchConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    intent: IntentConfig = field(default_factory=IntentConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    approach: ApproachConfig = field(default_factory=ApproachConfig)
    live_min: float = 0.35
    """Least fused liveness of what is sent, 0 to 1, as at a gate (`edge_gate.decide`): a poster
    beside the door must not fill the station's view."""
    allowance: Allowance = field(default_factory=Allowance)
    """Looks that this camera may send; beyond it a person is met at the gate."""

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ValueError: It is out of range.
        """
        if not 0 <= self.live_min <= 1:
            raise ValueError(f"out of range: {self.live_min}")


class EntrancePath:
    """One entrance camera's eye; one thread."""

    def __init__(self, eye: Eye | None, config: EntranceConfig, laps: Laps) -> None:
        """Begin with nobody in view.

        Args:
            eye: None when its models were refused: then nothing is seen.
            config: Of every stage.
            laps: Where the stages' times go.
        """
        self._eye = eye
        self._config = config
        self._laps = laps
        self._watch = CameraWatch(laps.now_s(), config.watch)
        self._tracker = Tracker(config.track)
        self._allowance = config.allowance
        self._approaches: dict[int, Approach] = {}
        self._done: set[int] = set()

    @property
    def camera(self) -> CameraState:
        """The camera's state."""
        return self._watch.state

    def step(self, frame: Frame | None, now_s: float) -> Look | None:
        """Take the newest frame; return a look where one is ready to be sent.

        Args:
            frame: The newest frame, or None if there is no new one.
            now_s: Monotonic seconds.
        """
        self._laps.begin()
        state = self._watch.step(frame, now_s)
        if self._eye is None or state is not CameraState.OK:
            # What was seen before a fault proves nothing after it.
            self._approaches.clear()
            return None
        if frame is None:
            return None
        high, wide = frame.image.shape[:2]
        tracks = self._tracker.step(self._eye.detector.detect(frame.image), frame.arrival_s)
        self._forget(tracks)
        intent = judge(tracks, now_s=frame.arrival_s, size=(wide, high), config=self._config.intent)
        if not isinstance(intent, MeansToPass) or intent.track.track_id in self._done:
            return None
        return self._attend(self._eye, intent.track, frame)

    def _forget(self, tracks: tuple[Track, ...]) -> None:
        """Forget whoever has left."""
        alive = {track.track_id for track in tracks}
        self._approaches = {i: each for i, each in self._approaches.items() if i in alive}
        self._done &= alive

    def _attend(self, eye: Eye, track: Track, frame: Frame) -> Look | None:
        """Look at the one who faces the camera, until enough was seen or it is too late."""
        config = self._config
        usable = gaze.worth(eye, frame.image, track.face, config.quality, self._laps)
        seen = gaze.sight(eye, frame.image, track.face, usable, self._laps) if usable else None
        approach = self._approaches.get(track.track_id) or Approach(track.track_id, frame.arrival_s)
        approach = approach if seen is None else approach.seen(seen)
        self._approaches[track.track_id] = approach
        look = None
        if approach.due(config.approach) and approach.live() >= config.live_min:
            look = self._look(eye, approach, frame.arrival_s)
        over = look or approach.complete(config.approach)
        if over or approach.late(frame.arrival_s, config.approach):
            self._done.add(track.track_id)
            del self._approaches[track.track_id]
        return look

    def _look(self, eye: Eye, approach: Approach, now_s: float) -> Look | None:
        """Make the look, as far as this camera may send one now."""
        try:
            vector = approach.probe(self._config.approach)
        except NoDirection:
            return None
        self._allowance, may = self._allowance.take(now_s)
        return Look(vector, eye.embedder.model_id, TRANSFORM) if may else None
