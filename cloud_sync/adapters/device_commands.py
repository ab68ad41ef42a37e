"""The operator's commands about devices: their arguments, and what they print."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cloud_sync.adapters.postgres import device_office as office
from cloud_sync.trust.authority import AuthorityFailed, CertificateAuthority, bundle
from cloud_sync.trust.bootstrap import TOKEN_BYTES
from cloud_sync.trust.device import Identity
from cloud_sync.trust.registry import DeviceRegistry, RegistryFailed
from cloud_sync.view_id import is_next


@dataclass(frozen=True, slots=True)
class Desk:
    """What the commands work with; it is the process that has it."""

    registry: DeviceRegistry
    authority: CertificateAuthority
    now: Callable[[], datetime]
    """Returns the time, aware UTC."""
    entropy: Callable[[int], bytes]
    """Gives that many random bytes, fit for tokens."""
    say: Callable[[str], None]
    """Prints a line."""
    complain: Callable[[str], None]
    """Prints a line where errors go."""


DeskOf = Callable[[sa.Engine], Desk]
Run = Callable[[argparse.Namespace, Desk], None]


def add_to(commands: Any, desk_of: DeskOf) -> None:
    """Add the commands to a process's parser; each sets `run` as its commands do.

    Args:
        commands: What `add_subparsers` has returned.
        desk_of: Makes the desk at an open database.
    """

    def add(to: Any, name: str, run: Run, words: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = to.add_parser(name, help=words)
        made.set_defaults(run=lambda chosen, engine: _done(run, chosen, desk_of(engine)))
        return made

    token = add(commands, "token", _token, "make bootstrap tokens, each good once for an hour")
    token.add_argument("pairs", nargs="+", metavar="STATION EDGE", help="as in the node's file")
    token.add_argument("--minutes", type=float, default=60.0, help="how long, 60 at most")
    add(commands, "devices", _devices, "list edge nodes and what their certificates are worth")
    revoke = add(commands, "revoke", _revoke, "put an edge or a certificate into the deny set")
    revoke.add_argument("name", metavar="EDGE|SERIAL")
    audit = add(commands, "audit", _audit, "print what devices tried and operators did")
    audit.add_argument("--count", type=int, default=50, help="newest lines")

    ca = commands.add_parser("ca", help="the authorities that sign certificates")
    asked = ca.add_subparsers(required=True, metavar="COMMAND")
    add(asked, "list", _ca_list, "print ids, ages and fingerprints")
    add(asked, "show", _ca_show, "print the certificates, for `python -m edge_gate join --ca`")
    add(asked, "rotate", _ca_rotate, "make a new one; the old one stays trusted")
    retire = add(asked, "retire", _ca_retire, "stop trusting an old one, and destroy its key")
    retire.add_argument("authority_id", metavar="ID")
    retire.add_argument("--at-once", action="store_true", help="even if nodes are locked out")


def _done(run: Run, chosen: argparse.Namespace, desk: Desk) -> int:
    try:
        run(chosen, desk)
    except (office.OfficeRefused, AuthorityFailed, RegistryFailed) as problem:
        desk.complain(str(problem))
        return 1
    return 0


def _token(chosen: argparse.Namespace, desk: Desk) -> None:
    if len(chosen.pairs) % 2:
        raise office.OfficeRefused("each token needs a STATION and an EDGE")
    desk.authority.authorities()  # made now, so that `ca show` has it to give
    for station_id, edge_id in zip(chosen.pairs[::2], chosen.pairs[1::2], strict=True):
        if is_next(station_id):
            raise office.OfficeRefused(f"{station_id} is the name of a view, not of a station")
        identity, validity = Identity(station_id, edge_id), timedelta(minutes=chosen.minutes)
        secret, now = desk.entropy(TOKEN_BYTES), desk.now()
        desk.say(office.make_token(desk.registry, identity, secret, now, validity=validity))


def _devices(chosen: argparse.Namespace, desk: Desk) -> None:
    del chosen
    for line in office.device_lines(desk.registry, desk.now()):
        desk.say(line)


def _revoke(chosen: argparse.Namespace, desk: Desk) -> None:
    edges = office.revoke(desk.registry, chosen.name, desk.now())
    streams = ", ".join(edges)
    desk.say(f"{chosen.name} is in the deny set; streams of {streams} end within seconds")


def _audit(chosen: argparse.Namespace, desk: Desk) -> None:
    for line in office.audit_lines(desk.registry, chosen.count):
        desk.say(line)


def _ca_list(chosen: argparse.Namespace, desk: Desk) -> None:
    del chosen
    for line in office.authority_lines(desk.authority, desk.now()):
        desk.say(line)


def _ca_show(chosen: argparse.Namespace, desk: Desk) -> None:
    del chosen
    desk.say(bundle(desk.authority.authorities()).decode("ascii").rstrip())


def _ca_rotate(chosen: argparse.Namespace, desk: Desk) -> None:
    del chosen
    desk.say(office.rotate(desk.authority, desk.registry, desk.now()))


def _ca_retire(chosen: argparse.Namespace, desk: Desk) -> None:
    words = office.retire(
        desk.authority,
        desk.registry,
        chosen.authority_id,
        desk.now(),
        at_once=chosen.at_once,
    )
    desk.say(words)
