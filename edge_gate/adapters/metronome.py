"""Pictures in, frames out at a steady rate: what a folder and a video file are played with."""

from collections.abc import Callable

from edge_gate.face import Frame, Image


class Metronome:
    """Numbers frames and gives each one when it is due."""

    def __init__(
        self, fps: float, *, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        """Start with frame 0, which is due at once.

        Args:
            fps: Frames a second, above 0.
            clock: Monotonic seconds.
            sleep: Waits for so many seconds of that clock.
        """
        self._fps, self._clock, self._sleep = fps, clock, sleep
        self._due_s: float | None = None
        self.given = 0
        """How many frames were given."""

    def frame(self, image: Image) -> Frame:
        """Wait until the next frame is due and make it of this picture.

        Args:
            image: BGR uint8, shape (H, W, 3).
        """
        now_s = self._clock()
        due_s = now_s if self._due_s is None else self._due_s
        self._sleep(max(0.0, due_s - now_s))
        self._due_s = due_s + 1 / self._fps
        frame = Frame(image, self.given, self._clock())
        self.given += 1
        return frame
