"""`python -m enroll reembed`: walks through the riders, and tells how far it is."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cloud_sync.adapters.postgres import model_state
from cloud_sync.master.model_change import ModelState
from enroll.photo import Assessor
from enroll.remeasure import Outcome, Remeasure
from enroll.store import Remeasured

_PAGE = 500
"""Riders asked for at once."""

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Run:
    """What one run did."""

    outcomes: Counter[Outcome]
    left: Remeasured
    """How far riders are after it."""

    @property
    def is_running(self) -> bool:
        """Whether the model is being changed to this one."""
        return not self.outcomes[Outcome.ENDED]


def state(engine: sa.Engine) -> ModelState:
    """Return which models the cloud has."""
    with engine.connect() as connection:
        return model_state.read(connection)


def run(anew: Remeasure, judge: Assessor, now: Clock) -> Run:
    """Measure every rider with a kept photo anew who was not yet; may be cut anywhere.

    Args:
        anew: The use cases.
        judge: With the coming model.
        now: Aware UTC.

    Raises:
        StoreFailed: What was measured stays so.
    """
    store, model_id = anew.enrollment.store, judge.model_id
    outcomes: Counter[Outcome] = Counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} riders/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("measured anew", total=store.remeasured(model_id).waiting, rate=0.0)
        for ref in _riders(lambda after: store.to_measure(model_id, after, _PAGE)):
            outcome = anew.rider(ref, judge, model_id, now())
            outcomes[outcome] += 1
            if outcome is Outcome.ENDED:
                break
            bar.update(task, advance=1, rate=bar.tasks[task].speed or 0.0)
    return Run(outcomes, store.remeasured(model_id))


def adopt(anew: Remeasure, models: ModelState, now: Clock) -> str:
    """Let the new model be every rider's only one; return what became of them, in words.

    Args:
        anew: The use cases.
        models: Which models the cloud has.
        now: Aware UTC.

    Raises:
        StoreFailed: What was adopted stays so.
    """
    store = anew.enrollment.store
    found = _riders(lambda after: store.to_adopt(models.trusted, after, _PAGE))
    lost = Counter(anew.adopt(ref, now()) for ref in found)
    return f"{lost[False]} riders go on with the new model, {lost[True]} need a new photo"


def counted(run: Run) -> str:
    """Return what a run did, in words."""
    done, left = run.outcomes, run.left
    return (
        f"{done[Outcome.DONE]} riders measured anew, {done[Outcome.REFUSED]} refused;"
        f" in all {in_words(left, is_json=False)}"
    )


def in_words(left: Remeasured, is_json: bool) -> str:  # a flag of the command
    """Return how far riders are, for a person or for a program."""
    if is_json:
        return json.dumps(asdict(left))
    return (
        f"{left.done} done, {left.waiting} waiting, {left.refused} with no face found or photos"
        f" not good enough, {left.without} without a kept photo"
    )


def _riders(page: Callable[[UUID | None], tuple[UUID, ...]]) -> Iterator[UUID]:
    """Yield riders page by page."""
    after: UUID | None = None
    while refs := page(after):
        yield from refs
        after = refs[-1]
