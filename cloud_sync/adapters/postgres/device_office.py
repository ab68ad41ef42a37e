"""What an operator does with devices, behind the commands: each function returns what to print."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from cloud_sync.trust.authority import (
    OVERLAP,
    ROTATE_AFTER,
    CertificateAuthority,
    listener_signer,
    retirable_from,
    signer,
)
from cloud_sync.trust.bootstrap import made, written
from cloud_sync.trust.device import Identity, Known, state_of
from cloud_sync.trust.registry import AuditLine, Device, DeviceRegistry, What


class OfficeRefused(Exception):
    """It was not done; says why."""


def make_token(
    registry: DeviceRegistry,
    identity: Identity,
    secret: bytes,
    now: datetime,
    *,
    validity: timedelta,
) -> str:
    """Return a token that lets one node in, once.

    Args:
        registry: Where devices are.
        identity: Whom, and where.
        secret: Random bytes.
        now: Aware UTC.
        validity: An hour at most.

    Raises:
        OfficeRefused: No such token is made.
        RegistryFailed: The database did not take it.
    """
    try:
        token = made(secret, identity, now, validity=validity)
    except ValueError as problem:
        raise OfficeRefused(str(problem)) from problem
    registry.offer(token)
    until = token.expires.isoformat(timespec="minutes")
    _note(registry, now, What.TOKEN_MADE, identity.edge_id, f"{identity.station_id}, until {until}")
    return written(secret)


def revoke(registry: DeviceRegistry, name: str, now: datetime) -> tuple[str, ...]:
    """Put an edge or a certificate into the deny set; return the edges it is about.

    Args:
        registry: Where devices are.
        name: An edge's id or a certificate's serial.
        now: Aware UTC.

    Raises:
        OfficeRefused: Nothing has this name.
        RegistryFailed: Nothing has changed.
    """
    edges = registry.revoke(name, now)
    if not edges:
        raise OfficeRefused(f"no edge and no certificate is named {name}")
    for edge_id in edges:
        _note(registry, now, What.REVOKED, edge_id, f"by the name {name}")
    return edges


def device_lines(registry: DeviceRegistry, now: datetime) -> Iterator[str]:
    """Yield a line an edge.

    Args:
        registry: Where devices are.
        now: Aware UTC.

    Raises:
        RegistryFailed: They cannot be read.
    """
    for device in registry.devices():
        who = f"{device.identity.edge_id} at {device.identity.station_id}"
        yield f"{who}: {_certificate(registry, device, now)}"


def audit_lines(registry: DeviceRegistry, count: int) -> Iterator[str]:
    """Yield the newest lines of the audit, newest first.

    Args:
        registry: Where devices are.
        count: Lines at most.

    Raises:
        RegistryFailed: They cannot be read.
    """
    for line in registry.audited(count):
        at, who = line.at.isoformat(timespec="seconds"), line.edge_id or "somebody"
        serial = f" with {line.serial}" if line.serial else ""
        yield f"{at} {line.what.value}: {who}{serial}: {line.detail}"


def authority_lines(authority: CertificateAuthority, now: datetime) -> Iterator[str]:
    """Yield a line an authority, oldest first.

    Args:
        authority: Where they are.
        now: Aware UTC.

    Raises:
        AuthorityFailed: They cannot be read.
    """
    held = authority.authorities()
    for each in held:
        work = [words for words, who in _WORK if who(held) is each]
        yield (
            f"{each.authority_id} since {each.since.date()}, until "
            f"{each.certificate.not_valid_after_utc.date()}"
            f"{', ' + ' and '.join(work) if work else ''}, sha256 {each.fingerprint}"
        )
    if now - signer(held).since > ROTATE_AFTER:
        yield "the newest is over a year old: python -m cloud_sync ca rotate"


def rotate(authority: CertificateAuthority, registry: DeviceRegistry, now: datetime) -> str:
    """Make a new authority; return what to tell the operator.

    Args:
        authority: Where they are.
        registry: For the audit.
        now: Aware UTC.

    Raises:
        AuthorityFailed: Nothing has changed.
    """
    new = authority.rotate()
    _note(registry, now, What.AUTHORITY, "", f"{new.authority_id} was made")
    retirable = (new.since + OVERLAP).date()
    return (
        f"{new.authority_id} signs nodes from now on; each gets it with its next renewal. The old "
        f"one may be retired from {retirable} on. sha256 {new.fingerprint}"
    )


def retire(
    authority: CertificateAuthority,
    registry: DeviceRegistry,
    authority_id: str,
    now: datetime,
    *,
    at_once: bool,
) -> str:
    """Stop trusting an authority; return what to tell the operator.

    Args:
        authority: Where they are.
        registry: For the audit.
        authority_id: Which.
        now: Aware UTC.
        at_once: Whether nodes may be locked out.

    Raises:
        OfficeRefused: There is none of this id, it is the newest, or nodes need it still.
        AuthorityFailed: It may still be trusted.
    """
    since = retirable_from(authority.authorities(), authority_id)
    if since is not None and now < since and not at_once:
        raise OfficeRefused(
            f"until {since.date()} a node may be away that knows no other; --at-once locks it out"
        )
    try:
        authority.retire(authority_id)
    except (LookupError, ValueError) as problem:
        raise OfficeRefused(str(problem)) from problem
    _note(registry, now, What.AUTHORITY, "", f"{authority_id} was retired")
    return f"{authority_id} is trusted no more and its key is gone"


_WORK = (("signs nodes", signer), ("signs the cloud's listeners", listener_signer))


def _certificate(registry: DeviceRegistry, device: Device, now: datetime) -> str:
    certified = device.certificate
    if certified is None:
        return "revoked" if device.is_revoked else "no certificate"
    whose = device.identity.edge_id
    known: Known = registry.known(whose, certified.serial, certified.key_digest)
    until = certified.not_after.isoformat(timespec="minutes")
    return f"{state_of(certified, known, now).value}, certificate {certified.serial} until {until}"


def _note(registry: DeviceRegistry, now: datetime, what: What, edge_id: str, detail: str) -> None:
    registry.note(AuditLine(now, edge_id, "", what, detail))
