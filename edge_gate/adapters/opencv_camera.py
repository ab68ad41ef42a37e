"""Webcams, network streams and video files, through OpenCV."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2

from edge_gate.adapters.metronome import Metronome
from edge_gate.camera import CameraLost
from edge_gate.face import Frame

_OPEN_TIMEOUT_MS = 5_000
_READ_TIMEOUT_MS = 1_500
"""A stream that is silent for so long is opened anew; the watch closes the lane meanwhile."""
_CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class OpenCvConfig:
    """How a device is opened."""

    width: int = 640
    height: int = 480
    """Size asked of a webcam, pixels, 64 to 4096; it may give another."""
    fps: float = 15.0
    """Rate asked of a webcam, and of a video file that does not know its own, 1 to 120."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if not (64 <= self.width <= 4096 and 64 <= self.height <= 4096 and 1 <= self.fps <= 120):
            raise ValueError("width and height are 64 to 4096, fps is 1 to 120")


class OpenCvCamera:
    """A live device: a webcam's index or a stream's address.

    A read that fails raises CameraLost and lets the device go; the next read opens it again.
    """

    def __init__(self, source: int | str, config: OpenCvConfig | None = None) -> None:
        """Take the address; the device is opened by the first read.

        Args:
            source: Index of a webcam, or an RTSP or HTTP address.
            config: How to open it.
        """
        self._source = source
        self._config = config or OpenCvConfig()
        self._device: cv2.VideoCapture | None = None
        self._reading = threading.Lock()
        self._number = 0
        self._closed = False

    def read(self) -> Frame | None:
        """Wait for the next frame; None once closed.

        Raises:
            CameraLost: The device cannot be opened or gives no more pictures.
        """
        with self._reading:
            if self._closed:
                return None
            if self._device is None:
                self._device = self._opened()
            good, image = self._device.read()
            if good and image is not None and image.size > 0:
                frame = Frame(image, self._number, time.monotonic())
                self._number += 1
                return frame
            self._let_go()
        if self._closed:
            return None
        raise CameraLost("the device gives no more pictures")

    def close(self) -> None:
        """Let the device go; one that hangs in a read keeps it until the read returns."""
        self._closed = True
        if self._reading.acquire(timeout=_CLOSE_TIMEOUT_S):
            self._let_go()
            self._reading.release()

    def _let_go(self) -> None:
        if self._device is not None:
            self._device.release()
            self._device = None

    def _opened(self) -> cv2.VideoCapture:
        """Open the device."""
        # OpenCV's own warnings may quote an address with its password.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        if isinstance(self._source, int):
            device = cv2.VideoCapture(self._source)
            device.set(cv2.CAP_PROP_FRAME_WIDTH, self._config.width)
            device.set(cv2.CAP_PROP_FRAME_HEIGHT, self._config.height)
            device.set(cv2.CAP_PROP_FPS, self._config.fps)
        else:
            device = cv2.VideoCapture(
                self._source,
                cv2.CAP_FFMPEG,
                [
                    cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_TIMEOUT_MS,
                    cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_TIMEOUT_MS,
                ],
            )  # fmt: skip
        # The newest frame is wanted; a driver that knows the wish keeps no queue.
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if not device.isOpened():
            device.release()
            raise CameraLost("the device cannot be opened")
        return device


class VideoCamera:
    """A video file played at its own speed, once or for ever."""

    def __init__(
        self,
        path: str,
        *,
        repeat: bool = False,
        config: OpenCvConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the file.

        Args:
            path: The file.
            repeat: Whether to begin again at the end.
            config: Its `fps` counts where the file has none.
            clock: Monotonic seconds.
            sleep: Waits for so many seconds of that clock.

        Raises:
            CameraLost: It is no video that can be decoded.
        """
        self._repeat = repeat
        self._file = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
        if not self._file.isOpened():
            raise CameraLost("the file is no video that can be decoded")
        own = float(self._file.get(cv2.CAP_PROP_FPS))
        fps = own if 1 <= own <= 240 else (config or OpenCvConfig()).fps
        self._metronome = Metronome(fps, clock=clock, sleep=sleep)
        self._closed = False

    def read(self) -> Frame | None:
        """Wait until the next frame is due; None at the end or once closed.

        Raises:
            CameraLost: The file holds not one picture.
        """
        if self._closed:
            self._file.release()
            return None
        good, image = self._file.read()
        if not good and self._repeat and self._metronome.given > 0:
            self._file.set(cv2.CAP_PROP_POS_FRAMES, 0)
            good, image = self._file.read()
        if not good or image is None:
            self._file.release()
            if self._metronome.given == 0:
                raise CameraLost("the file holds not one picture")
            return None
        return self._metronome.frame(image)

    def close(self) -> None:
        """Stop playing; the reading thread lets the file go."""
        self._closed = True
