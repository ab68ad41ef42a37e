"""The cloud's search for whoever comes, in memory: it answers as told and keeps the looks."""

from cloud_sync.master.presence import Look, Outcome


class MemoryPresence:
    """Implements `Identify`; for tests, which may look at `looks`."""

    def __init__(self, answer: Outcome | None = Outcome.ACCEPTED) -> None:
        """Answer always the same.

        Args:
            answer: None is a cloud that cannot be reached.
        """
        self.answer = answer
        self.looks: list[Look] = []

    def identify(self, look: Look) -> Outcome | None:
        """Keep the look and answer."""
        self.looks.append(look)
        return self.answer
