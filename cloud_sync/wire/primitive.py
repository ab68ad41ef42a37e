"""Ids and times on the wire."""

from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID


class WireBroken(Exception):
    """The peer sent a message that this protocol does not have."""


class Stamp(Protocol):
    """What this needs of protobuf's own timestamp."""

    def ToDatetime(self, tzinfo: object = None) -> datetime:  # noqa: N802  # protobuf's name
        """Return it as a datetime."""
        ...


def uuid_of(raw: bytes) -> UUID:
    """Return the id of 16 bytes.

    Raises:
        WireBroken: Another length.
    """
    if len(raw) != 16:
        raise WireBroken(f"an id of {len(raw)} bytes, not 16")
    return UUID(bytes=raw)


def time_of(stamp: Stamp) -> datetime:
    """Return the moment, aware UTC.

    Raises:
        WireBroken: Outside the years 2 to 9998: nobody behind this may fail to tell the local day,
            and no honest clock is there.
    """
    try:
        moment = stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as problem:
        raise WireBroken("a time out of range") from problem
    if not 2 <= moment.year <= 9998:
        raise WireBroken("a time out of range")
    return moment
