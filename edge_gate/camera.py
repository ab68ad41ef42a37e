"""The camera port; `edge_gate.adapters.capture` keeps only its newest frame."""

from typing import Protocol

from edge_gate.face import Frame


class CameraLost(Exception):
    """The camera cannot be opened or gives no more pictures."""


class Camera(Protocol):
    """A source of frames; opened by its constructor, read by one thread."""

    def read(self) -> Frame | None:
        """Wait for the next frame; None at the end of a finite source.

        Raises:
            CameraLost: The device is gone; a later read tries to open it again.
        """
        ...

    def close(self) -> None:
        """Let the device go; safe to call twice."""
        ...
