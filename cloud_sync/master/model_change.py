"""A change of the model, one step after the other: rules without I/O.

While it runs two spaces live side by side, and no template ever meets the other's. Riders are
measured anew from the photos they let us keep, nodes are restarted one by one with the new model,
and each node follows the view of its own model. This file does not know about SQL, photos or nodes'
configuration.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Phase(StrEnum):
    """How far a change is."""

    NONE = "none"
    """One model, one view a station."""
    RUNNING = "running"
    """Two of each; both are served, and it can still be rolled back."""
    FINISHING = "finishing"
    """The old model goes; `finish` again goes on where it stopped."""
    ROLLING_BACK = "rolling_back"
    """The new model goes; `rollback` again goes on where it stopped."""


class NotNow(Exception):
    """The step is not possible; nothing has changed. The text is for an operator."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """Which models a cloud has."""

    model_id: str = ""
    """In force; empty until a change was begun for the first time."""
    next_id: str = ""
    """The coming one; empty while none is."""
    phase: Phase = Phase.NONE
    begun_at: datetime | None = None
    """When the change began, aware UTC; None while there is none."""

    @property
    def trusted(self) -> str:
        """The model that new templates must have: the one that stays; empty for any."""
        return self.next_id if self.phase is Phase.FINISHING else self.model_id


@dataclass(frozen=True, slots=True)
class Progress:
    """What stands between a running change and its end."""

    followers: tuple[str, ...]
    """Edges with a lease that follow a view of the old model, sorted."""
    waiting: int
    """Riders whose kept photos were not measured anew yet."""


def begun(state: ModelState, model_id: str, held: frozenset[str], now: datetime) -> ModelState:
    """Return the state once a change to a model has begun; the same again changes nothing.

    Args:
        state: Before.
        model_id: The coming model, as its pack names it.
        held: The models that stations' views hold.
        now: Aware UTC.

    Raises:
        NotNow: Another change is under way, or there is nothing to change.
    """
    if state.phase is Phase.RUNNING and state.next_id == model_id:
        return state
    if state.phase is not Phase.NONE:
        raise NotNow(f"a change to {state.next_id} is {state.phase.value}")
    if not model_id or "|" in model_id:
        raise NotNow("that is no model id; `python -m edge_gate doctor` prints a pack's")
    if len(held) > 1:
        raise NotNow(f"stations hold several models: {', '.join(sorted(held))}")
    old = next(iter(held), state.model_id)
    if not old:
        raise NotNow("no station holds a template, so there is nothing to change")
    if old == model_id:
        raise NotNow(f"{model_id} is the model in force")
    return ModelState(old, model_id, Phase.RUNNING, now)


def finishing(state: ModelState, progress: Progress, *, is_forced: bool = False) -> ModelState:
    """Return the state in which the old model goes.

    Args:
        state: Before.
        progress: What is left to do.
        is_forced: Whether riders may lose their face although a photo is kept.

    Raises:
        NotNow: No change is under way, or it is not far enough.
    """
    if state.phase is Phase.FINISHING:
        return state
    if state.phase is not Phase.RUNNING:
        raise NotNow("no change is running")
    if progress.followers:
        names = ", ".join(progress.followers[:10])
        raise NotNow(
            f"{len(progress.followers)} nodes follow the old model: {names};"
            " restart them with the new pack, or revoke those that are gone"
        )
    if progress.waiting and not is_forced:
        raise NotNow(
            f"{progress.waiting} riders with kept photos are not measured anew;"
            " run `python -m enroll reembed`, or finish with --force"
        )
    return replace(state, phase=Phase.FINISHING)


def rolling_back(state: ModelState) -> ModelState:
    """Return the state in which the new model goes.

    Args:
        state: Before.

    Raises:
        NotNow: No change is under way, or the old model has begun to go.
    """
    if state.phase is Phase.ROLLING_BACK:
        return state
    if state.phase is not Phase.RUNNING:
        words = {Phase.FINISHING: "the old model has begun to go; `finish` again"}
        raise NotNow(words.get(state.phase, "no change is running"))
    return replace(state, phase=Phase.ROLLING_BACK)


def ended(state: ModelState) -> ModelState:
    """Return the state once nothing is left to go."""
    return ModelState(state.trusted)
