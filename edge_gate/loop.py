"""The only threads of the node: one a lane, one for the chores, and the watch over them.

Everything that decides is a plain function elsewhere; this file turns real time and real frames
into steps, survives what fails in a step, and stops in order.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from cloud_sync.master.presence import Outcome
from edge_gate.answer import Answer
from edge_gate.entrance import EntrancePath, Identify
from edge_gate.face import Frame, Image
from edge_gate.moment import Moment
from edge_gate.pipeline import LanePipeline
from edge_gate.status import EntranceStatus, LaneStatus
from edge_gate.tapping import Place
from fare.log import say

_LOG = logging.getLogger(__name__)

STEP_S = 0.1
"""Longest wait for a frame, seconds: sensors, timeouts and the camera's watch need a step at
least every 0.25 s (`edge_gate.watch`)."""

STUCK_S = 15.0
"""A lane that has not stepped for so long hangs in a driver or a model, seconds."""


class FrameSource(Protocol):
    """Where a lane takes its frames; `adapters.capture.Capture` is one."""

    @property
    def dropped(self) -> int:
        """Frames that nobody took."""
        ...

    def newest(self, timeout_s: float = 0.0) -> Frame | None:
        """Take the newest frame, once; None if none comes in time."""
        ...


def make_turn() -> AbstractContextManager[object]:
    """Return a context that one thread at a time can hold."""
    return threading.Lock()


Heard = Callable[[Place, Moment, Answer], None]
"""Called on the lane's thread with each answer."""


class LaneLoop:
    """Steps one lane as frames come."""

    def __init__(
        self,
        pipeline: LanePipeline,
        source: FrameSource,
        *,
        code_source: FrameSource | None,
        moment: Callable[[], Moment],
        heard: Heard,
        keep_picture: bool = False,
    ) -> None:
        """Join a lane to its cameras.

        Args:
            pipeline: The lane.
            source: Its camera.
            code_source: Its own camera for codes, where it has one.
            moment: The node's clocks.
            heard: Told each answer.
            keep_picture: Whether the newest picture stays in memory for the staff page.
        """
        self._pipeline = pipeline
        self._source = source
        self._code_source = code_source
        self._moment = moment
        self._heard = heard
        self._keep_picture = keep_picture
        self._picture: Image | None = None
        self._frames = 0
        self._rate = 0.0
        self._rate_from_s = moment().mono_s
        self._resets = 0
        self._frame_s: float | None = None
        self.beat_s = moment().mono_s

    @property
    def place(self) -> Place:
        """Where the lane is."""
        return self._pipeline.place

    @property
    def picture(self) -> Image | None:
        """The newest picture, if pictures are kept; it is never stored."""
        return self._picture

    @property
    def status(self) -> LaneStatus:
        """The lane, as of its last step."""
        return LaneStatus(
            self.place.lane_id,
            self.place.direction.value,
            self._pipeline.view,
            round(self._rate, 1),
            self._source.dropped,
            {stage: round(spent, 1) for stage, spent in self._pipeline.laps.newest.items()},
        )

    def frame_age_s(self, now_s: float) -> float | None:
        """Return the seconds since the camera's last frame; None before the first.

        Args:
            now_s: Now, monotonic seconds.
        """
        return None if self._frame_s is None else max(now_s - self._frame_s, 0.0)

    def ask_reset(self) -> None:
        """Put the barrier back into service at the next step; called from any thread."""
        self._resets += 1

    def run(self, stop: threading.Event) -> None:
        """Step until told to stop; nothing that a step raises ends the lane."""
        self.beat_s = self._moment().mono_s  # the gallery may have been read since it was made
        resets_done = 0
        while not stop.is_set():
            try:
                if resets_done < self._resets:
                    resets_done = self._resets
                    self._pipeline.reset(self._moment())
                self.step()
            except Exception:  # noqa: BLE001  # a lane outlives whatever a driver raises
                _LOG.exception("lane_step_failed", extra={"fields": {"lane": self.place.lane_id}})
                self._pipeline.shut_failed_path()
                stop.wait(STEP_S)

    def step(self) -> None:
        """Wait for a frame and step the lane once, with or without it."""
        frame = self._source.newest(STEP_S)
        code_frame = self._code_source.newest() if self._code_source else None
        now = self._moment()
        self.beat_s = now.mono_s
        if frame is not None:
            self._frame_s = now.mono_s
            self._count(now.mono_s)
            if self._keep_picture:
                self._picture = frame.image
        separate = self._code_source is not None
        answers = self._pipeline.step(frame, now, code_frame=code_frame, own_code_camera=separate)
        for answer in answers:
            self._heard(self.place, now, answer)

    def _count(self, now_s: float) -> None:
        self._frames += 1
        passed_s = now_s - self._rate_from_s
        if passed_s >= 1:
            self._rate, self._frames, self._rate_from_s = self._frames / passed_s, 0, now_s


class EntranceLoop:
    """Steps one entrance camera as frames come, and sends what it sees."""

    def __init__(
        self,
        name: str,
        path: EntrancePath,
        source: FrameSource,
        cloud: Identify,
        *,
        moment: Callable[[], Moment],
    ) -> None:
        """Join a camera to the cloud.

        Args:
            name: The lane's id.
            path: Its stages.
            source: Its camera.
            cloud: Where looks go.
            moment: The node's clocks.
        """
        self._name = name
        self._path = path
        self._source = source
        self._cloud = cloud
        self._moment = moment
        self._sent = 0
        self._answer: Outcome | None = None

    @property
    def status(self) -> EntranceStatus:
        """The entrance, as of its last step."""
        answer = self._answer.value if self._answer else ""
        return EntranceStatus(self._name, self._path.camera, self._sent, answer)

    def run(self, stop: threading.Event) -> None:
        """Step until told to stop."""
        while not stop.is_set():
            self.step()

    def step(self) -> None:
        """Wait for a frame, and send the look that it completes; nothing of it stays."""
        look = self._path.step(self._source.newest(STEP_S), self._moment().mono_s)
        if look is None:
            return
        self._sent += 1
        before, self._answer = self._answer, self._cloud.identify(look)
        if self._answer is not before:
            told = self._answer.value if self._answer else "silent"
            say(_LOG, "presence", entrance=self._name, cloud=told)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something done again and again beside the lanes."""

    name: str
    every_s: float
    """Pause between two turns, seconds, > 0."""
    do: Callable[[Moment], None]


@dataclass(frozen=True, slots=True)
class Service:
    """Something that runs until told to stop, e.g. the way to the cloud."""

    name: str
    run: Callable[[threading.Event], None]


class NodeLoop:
    """All threads of a node."""

    def __init__(
        self,
        lanes: Sequence[LaneLoop],
        chores: Sequence[Chore],
        services: Sequence[Service],
        *,
        moment: Callable[[], Moment],
        on_stuck: Callable[[], None],
    ) -> None:
        """Prepare the threads.

        Args:
            lanes: The lanes.
            chores: What else must be done, each on a thread of its own.
            services: What runs by itself, each on a thread of its own; begun anew if it fails.
            moment: The node's clocks.
            on_stuck: Called when a lane does not step any more; a thread cannot be killed, so
                ending the process is the only help.
        """
        self._lanes = tuple(lanes)
        self._moment = moment
        self._on_stuck = on_stuck
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=lane.run, args=(self._stop,), name=lane.place.lane_id)
            for lane in lanes
        ]
        self._threads += [
            threading.Thread(target=self._turn, args=(chore,), name=chore.name)
            for chore in (*chores, Chore("watchdog", 1.0, self._watch))
        ]
        self._threads += [
            threading.Thread(target=self._serve, args=(service,), name=service.name)
            for service in services
        ]
        for thread in self._threads:
            thread.daemon = True  # a thread that hangs in a driver must not keep the process

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, *, timeout_s: float = 3.0) -> tuple[str, ...]:
        """Stop all threads and return the names of those that did not stop in time."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)
        return tuple(thread.name for thread in self._threads if thread.is_alive())

    def _turn(self, chore: Chore) -> None:
        while not self._stop.wait(chore.every_s):
            try:
                chore.do(self._moment())
            except Exception:  # noqa: BLE001  # the next turn may succeed
                _LOG.exception("chore_failed", extra={"fields": {"chore": chore.name}})

    def _serve(self, service: Service) -> None:
        while not self._stop.is_set():
            try:
                service.run(self._stop)
            except Exception:  # noqa: BLE001  # lanes go on; the service begins anew
                _LOG.exception("service_failed", extra={"fields": {"service": service.name}})
            self._stop.wait(1.0)

    def _watch(self, now: Moment) -> None:
        for lane in self._lanes:
            if now.mono_s - lane.beat_s > STUCK_S:
                say(_LOG, "lane_stuck", level=logging.CRITICAL, lane=lane.place.lane_id)
                self._on_stuck()
