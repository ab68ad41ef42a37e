"""The thread that reads a camera and keeps only its newest frame: old ones are dropped.

A lane that is slower than its camera must not fall behind: a rider wants to pass now.
"""

import logging
import threading
from types import TracebackType
from typing import Self

from edge_gate.camera import Camera, CameraLost
from edge_gate.face import Frame
from fare.log import say

_LOG = logging.getLogger(__name__)
_RETRY_S = (0.2, 0.5, 1.0, 2.0)
"""Pauses before a lost camera is read again; the last is repeated."""


class Capture:
    """Reads a camera on a thread of its own, again and again when it is lost."""

    def __init__(self, camera: Camera, *, name: str = "camera") -> None:
        self._camera = camera
        self._name = name
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._newest: Frame | None = None
        self._taken = self._dropped = 0
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"capture-{name}", daemon=True)

    def __enter__(self) -> Self:
        """Start reading."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop reading and let the camera go."""
        self.close()

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def newest(self, timeout_s: float = 0.0) -> Frame | None:
        """Take the newest frame, once; None if no new one comes within `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended, timeout_s)
            frame, self._newest = self._newest, None
            self._taken += frame is not None
            return frame

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced before anybody took them."""
        with self._changed:
            return self._dropped

    @property
    def taken(self) -> int:
        """Frames that were handed on."""
        with self._changed:
            return self._taken

    @property
    def ended(self) -> bool:
        """Whether a finite source is at its end, and its last frame was taken."""
        with self._changed:
            return self._ended and self._newest is None

    def close(self, timeout_s: float = 2.0) -> None:
        """Stop the thread and let the camera go; safe to call twice.

        A read that hangs in a driver is left behind after `timeout_s`; its thread is a daemon.
        """
        self._stop.set()
        self._camera.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        losses = 0
        while not self._stop.is_set():
            try:
                frame = self._camera.read()
            except CameraLost as error:
                if self._stop.is_set():
                    break
                if losses == 0:
                    say(_LOG, "camera_lost", camera=self._name, why=str(error))
                self._rest(losses)
                losses += 1
                continue
            except Exception:  # noqa: BLE001  # a lane must not go blind for ever by one bad read
                if losses == 0:
                    _LOG.exception("camera_failed", extra={"fields": {"camera": self._name}})
                self._rest(losses)
                losses += 1
                continue
            if losses and frame is not None:
                say(_LOG, "camera_back", camera=self._name, tries=losses)
            losses = 0
            if not self._put(frame):
                break
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _rest(self, losses: int) -> None:
        self._stop.wait(_RETRY_S[min(losses, len(_RETRY_S) - 1)])

    def _put(self, frame: Frame | None) -> bool:
        """Offer a frame; return False at the end of the source."""
        if frame is None:
            return False
        with self._changed:
            self._dropped += self._newest is not None
            self._newest = frame
            self._changed.notify_all()
        return True
