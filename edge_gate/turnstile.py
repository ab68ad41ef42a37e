"""The turnstile port: leaves that open and close, and light beams that tell who went through."""

from typing import Protocol

from edge_gate.barrier import Event


class BarrierFault(Exception):
    """The turnstile does not answer or refuses a command; the lane sends JAM to its barrier."""


class Turnstile(Protocol):
    """One lane's leaves and sensors; called by one thread."""

    def open(self) -> None:
        """Open the leaves; the command is taken, not necessarily finished.

        Raises:
            BarrierFault: The turnstile did not take it.
        """
        ...

    def close(self) -> None:
        """Close the leaves as soon as the beams are clear.

        Raises:
            BarrierFault: The turnstile did not take it.
        """
        ...

    def stop(self) -> None:
        """Take the force off the drive at once.

        Raises:
            BarrierFault: The turnstile did not take it.
        """
        ...

    def poll(self, now_s: float) -> tuple[Event, ...]:
        """Return what the sensors saw since the last call, oldest first.

        Args:
            now_s: Monotonic seconds; hardware has its own clock, a simulation lives by this one.

        Returns:
            ENTERED, LEFT, INTRUSION and JAM only.

        Raises:
            BarrierFault: The turnstile does not answer.
        """
        ...
