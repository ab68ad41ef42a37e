"""The operator's commands for a change of the model while the city rides.

A part of `__main__`: it joins adapters, and no rule stands here. Enrollment's part, riders' photos
and templates, is done by `python -m enroll reembed`, which these commands start.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import sqlalchemy as sa

from cloud_sync.master.model_change import NotNow, Phase
from cloud_sync.secrecy.safe import Safe


@dataclass(frozen=True, slots=True)
class Tools:
    """What only the process has."""

    safe: Callable[[], Safe]
    """Returns what seals and opens the cloud's records."""
    now: Callable[[], datetime]
    """Aware UTC."""


class EnrollmentFailed(Exception):
    """Enrollment's part was not done; the command can be given again."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", tools: Tools) -> None:
    """Add the command.

    Args:
        commands: Of `python -m cloud_sync`.
        tools: What the process has.
    """
    model = commands.add_parser("model", help="change the model while the city rides")
    steps = model.add_subparsers(required=True, metavar="STEP")
    status = steps.add_parser("status", help="how far it is")
    status.set_defaults(run=partial(_guarded, _status, tools))
    begin = steps.add_parser("begin", help="let a second space live beside the first")
    begin.add_argument("model_id", help="the coming model; `python -m edge_gate doctor` prints it")
    begin.set_defaults(run=partial(_guarded, _begin, tools))
    finish = steps.add_parser("finish", help="make the new model the only one")
    finish.add_argument(
        "--force", action="store_true", help="also where kept photos were not measured anew"
    )
    finish.set_defaults(run=partial(_guarded, _finish, tools))
    rollback = steps.add_parser("rollback", help="take the new model away again")
    rollback.set_defaults(run=partial(_guarded, _rollback, tools))


_Step = Callable[[Tools, argparse.Namespace, sa.Engine], None]


def _guarded(step: _Step, tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> int:
    try:
        step(tools, chosen, engine)
    except NotNow as problem:
        print(f"not now: {problem}", file=sys.stderr)
        return 1
    except EnrollmentFailed as problem:
        print(f"{problem}; give the command again", file=sys.stderr)
        return 1
    return 0


def _begin(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> None:
    from cloud_sync.adapters.postgres import model_change

    state = model_change.begin(engine, tools.safe(), chosen.model_id, tools.now())
    print(f"from {state.model_id} to {state.next_id}: every station has a view of each")
    print("next: `python -m enroll reembed --pack NEW`, and restart nodes with the new pack")


def _status(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> None:
    from cloud_sync.adapters.postgres import model_change

    del chosen
    found = model_change.standing(engine, tools.now())
    state = found.state
    since = f" since {state.begun_at.isoformat(timespec='seconds')}" if state.begun_at else ""
    print(f"phase: {state.phase.value}{since}")
    print(f"model: {state.model_id or 'the only one there is'}")
    if state.next_id:
        print(f"coming: {state.next_id}")
    for model_id, riders in sorted(found.riders.items()):
        print(f"riders at stations with a template of {model_id}: {riders}")
    if state.phase is Phase.RUNNING:
        left = _photos(state.next_id)
        print(
            f"photos: {left['done']} riders measured anew, {left['waiting']} wait,"
            f" {left['refused']} refused by the new model, {left['without']} without a kept photo"
        )
    for name, is_next in ((state.model_id or "the only model", False), (state.next_id, True)):
        if name:
            nodes = sum(view.nodes for view in found.views if view.is_next is is_next)
            print(f"nodes on {name}: {nodes}")
    for view in found.views:
        which = "coming" if view.is_next else "in force"
        print(f"  {view.station_id} ({which}): {view.templates} templates, {view.nodes} nodes")
    if state.phase is Phase.RUNNING and found.followers:
        print(f"finish waits for {', '.join(found.followers)}")


def _finish(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> None:
    from cloud_sync.adapters.postgres import model_change

    now = tools.now()
    state = model_change.standing(engine, now).state
    waiting = _photos(state.next_id)["waiting"] if state.phase is Phase.RUNNING else 0
    state = model_change.finish(
        engine, tools.safe(), waiting=waiting, is_forced=chosen.force, now=now, told=_told
    )
    _enroll("--adopt")
    model_change.end(engine)
    print(f"{state.next_id} is the model; restart enrollment with its pack")


def _rollback(tools: Tools, chosen: argparse.Namespace, engine: sa.Engine) -> None:
    from cloud_sync.adapters.postgres import model_change

    del chosen
    state = model_change.rollback(engine, tools.safe(), now=tools.now(), told=_told)
    _enroll("--forget", state.next_id)
    state = model_change.end(engine)
    print(f"{state.model_id} is the model, as before")


def _told(name: str, count: int) -> None:
    print(f"{name}: {count} templates erased" if count else f"{name}: done", flush=True)


def _photos(model_id: str) -> dict[str, int]:
    """Return how many riders enrollment has measured anew, and how many it has not."""
    told = _enroll("--status", model_id, "--json")
    return {name: int(value) for name, value in json.loads(told).items()}


def _enroll(*words: str) -> str:
    command: Sequence[str] = [sys.executable, "-m", "enroll", "reembed", *words]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own
    if done.returncode != 0:
        raise EnrollmentFailed("enrollment's records have not followed")
    return done.stdout
