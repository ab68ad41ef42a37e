"""Devices in PostgreSQL, schema `cloud_sync`: tokens, certificates, the deny set, the audit."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from cloud_sync.adapters.postgres.device_tables import (
    AUDIT,
    BOOTSTRAP_TOKEN,
    CERTIFICATE,
    DENIED,
    DEVICE_KEY,
)
from cloud_sync.adapters.postgres.publish import announce
from cloud_sync.adapters.postgres.tables import EDGE_NODE
from cloud_sync.trust.bootstrap import Applicant, Token, flaw_of
from cloud_sync.trust.device import GRACE, CertificateState, Certified, Identity, Known
from cloud_sync.trust.registry import (
    AUDIT_KEPT,
    DETAIL_MAX,
    AuditLine,
    Device,
    Redeemed,
    RegistryFailed,
    What,
)

DEVICE_CHANNEL = "gateline_device"
"""NOTIFY channel; the payload is the id of an edge that was revoked."""
_FORGET_TOKENS = timedelta(days=30)
"""After so long a used or expired token is of no interest any more."""
_EDGE, _SERIAL = "edge", "serial"
"""Kinds of names in the deny set."""
_PRUNE_EVERY = 100
"""Lines between two prunings of the audit."""


class PostgresRegistry:
    """A `DeviceRegistry` on a migrated database; see the port for its promises."""

    def __init__(self, engine: sa.Engine) -> None:
        """Take an engine on a migrated database."""
        self._engine = engine

    def offer(self, token: Token) -> None:
        """See `DeviceRegistry.offer`."""
        row = {
            "digest": token.digest,
            "station_id": token.identity.station_id,
            "edge_id": token.identity.edge_id,
            "expires": token.expires,
        }
        past = BOOTSTRAP_TOKEN.c.expires < token.expires - _FORGET_TOKENS
        with self._begun() as connection:
            connection.execute(sa.delete(BOOTSTRAP_TOKEN).where(past))
            connection.execute(sa.insert(BOOTSTRAP_TOKEN).values(row))

    def redeem(self, digest: bytes, applicant: Applicant, now: datetime) -> Redeemed:
        """See `DeviceRegistry.redeem`."""
        mine = BOOTSTRAP_TOKEN.c.digest == digest
        with self._begun() as connection:
            query = sa.select(BOOTSTRAP_TOKEN).where(mine).with_for_update()
            row = connection.execute(query).one_or_none()
            token = None if row is None else _token(row)
            flaw = flaw_of(token, applicant, now)
            if token is None or flaw is not None:
                assert flaw is not None
                return flaw
            edge_id = token.identity.edge_id
            if not _bound(connection, applicant.key_digest, edge_id):
                return CertificateState.KEY_REUSED
            used = {"used_at": now, "used_by": applicant.key_digest}
            connection.execute(sa.update(BOOTSTRAP_TOKEN).where(mine).values(used))
            let_in = sa.and_(DENIED.c.kind == _EDGE, DENIED.c.name == edge_id)
            connection.execute(sa.delete(DENIED).where(let_in))
        return token.identity

    def bind_key(self, key_digest: bytes, edge_id: str) -> bool:
        """See `DeviceRegistry.bind_key`."""
        with self._begun() as connection:
            return _bound(connection, key_digest, edge_id)

    def issued(self, certificate: Certified, now: datetime) -> None:
        """See `DeviceRegistry.issued`."""
        row = {
            "serial": certificate.serial,
            "edge_id": certificate.identity.edge_id,
            "station_id": certificate.identity.station_id,
            "key_digest": certificate.key_digest,
            "not_before": certificate.not_before,
            "not_after": certificate.not_after,
        }
        past = CERTIFICATE.c.not_after < now - GRACE
        with self._begun() as connection:
            connection.execute(sa.delete(CERTIFICATE).where(past))
            connection.execute(sa.insert(CERTIFICATE).values(row))

    def known(self, edge_id: str, serial: str, key_digest: bytes) -> Known:
        """See `DeviceRegistry.known`."""
        edge = sa.select(EDGE_NODE.c.station_id).where(EDGE_NODE.c.edge_id == edge_id)
        denied = sa.exists().where(
            sa.or_(
                sa.and_(DENIED.c.kind == _EDGE, DENIED.c.name == edge_id),
                sa.and_(DENIED.c.kind == _SERIAL, DENIED.c.name == serial),
            )
        )
        owner = sa.select(DEVICE_KEY.c.edge_id).where(DEVICE_KEY.c.key_digest == key_digest)
        query = sa.select(edge.scalar_subquery(), denied, owner.scalar_subquery())
        with self._begun() as connection:
            station_id, is_revoked, key_owner = connection.execute(query).one()
        return Known(station_id, is_revoked, key_owner)

    def revoke(self, name: str, now: datetime) -> tuple[str, ...]:
        """See `DeviceRegistry.revoke`."""
        is_edge = sa.select(EDGE_NODE.c.edge_id).where(EDGE_NODE.c.edge_id == name)
        either = sa.or_(CERTIFICATE.c.edge_id == name, CERTIFICATE.c.serial == name)
        of_it = sa.select(CERTIFICATE.c.serial, CERTIFICATE.c.edge_id).where(either)
        with self._begun() as connection:
            edges = set(connection.execute(is_edge).scalars())
            certificates = connection.execute(of_it).all()
            rows = [{"kind": _EDGE, "name": edge_id, "denied_at": now} for edge_id in edges]
            rows += [
                {"kind": _SERIAL, "name": row.serial, "denied_at": now} for row in certificates
            ]
            if rows:
                connection.execute(pg.insert(DENIED).values(rows).on_conflict_do_nothing())
            found = edges | {row.edge_id for row in certificates}
            for edge_id in found:
                announce(connection, DEVICE_CHANNEL, edge_id)
        return tuple(sorted(found))

    def devices(self) -> tuple[Device, ...]:
        """See `DeviceRegistry.devices`."""
        last = (
            sa.select(CERTIFICATE)
            .ext(pg.distinct_on(CERTIFICATE.c.edge_id))
            .order_by(CERTIFICATE.c.edge_id, CERTIFICATE.c.not_before.desc())
            .subquery()
        )
        is_denied = sa.exists().where(DENIED.c.kind == _EDGE, DENIED.c.name == EDGE_NODE.c.edge_id)
        query = (
            sa.select(EDGE_NODE.c.edge_id, EDGE_NODE.c.station_id, is_denied.label("is_revoked"))
            .add_columns(last.c.serial, last.c.station_id.label("certified_for"))
            .add_columns(last.c.key_digest, last.c.not_before, last.c.not_after)
            .select_from(EDGE_NODE.outerjoin(last, last.c.edge_id == EDGE_NODE.c.edge_id))
            .order_by(EDGE_NODE.c.station_id, EDGE_NODE.c.edge_id)
        )
        with self._begun() as connection:
            return tuple(_device(row) for row in connection.execute(query))

    def note(self, line: AuditLine) -> None:
        """See `DeviceRegistry.note`."""
        row = {
            "at": line.at,
            "edge_id": line.edge_id[:DETAIL_MAX],
            "serial": line.serial,
            "what": line.what.value,
            "detail": line.detail[:DETAIL_MAX],
        }
        insert = sa.insert(AUDIT).values(row).returning(AUDIT.c.number)
        with self._begun() as connection:
            number = connection.execute(insert).scalar_one()
            if number % _PRUNE_EVERY == 0:
                _prune(connection, line.what)

    def audited(self, limit: int) -> tuple[AuditLine, ...]:
        """See `DeviceRegistry.audited`."""
        query = sa.select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)
        with self._begun() as connection:
            return tuple(
                AuditLine(row.at, row.edge_id, row.serial, What(row.what), row.detail)
                for row in connection.execute(query)
            )

    @contextmanager
    def _begun(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as problem:
            raise RegistryFailed(str(problem)) from problem


def _token(row: sa.Row[Any]) -> Token:
    return Token(row.digest, Identity(row.station_id, row.edge_id), row.expires, row.used_by)


def _device(row: sa.Row[Any]) -> Device:
    certificate = None
    if row.serial is not None:
        whose = Identity(row.certified_for, row.edge_id)
        certificate = Certified(whose, row.serial, row.key_digest, row.not_before, row.not_after)
    return Device(Identity(row.station_id, row.edge_id), row.is_revoked, certificate)


def _bound(connection: sa.Connection, key_digest: bytes, edge_id: str) -> bool:
    binding = pg.insert(DEVICE_KEY).values(key_digest=key_digest, edge_id=edge_id)
    connection.execute(binding.on_conflict_do_nothing())
    query = sa.select(DEVICE_KEY.c.edge_id).where(DEVICE_KEY.c.key_digest == key_digest)
    return bool(connection.execute(query).scalar_one() == edge_id)


def _prune(connection: sa.Connection, what: What) -> None:
    newest = (
        sa.select(AUDIT.c.number)
        .where(AUDIT.c.what == what.value)
        .order_by(AUDIT.c.number.desc())
        .offset(AUDIT_KEPT)
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(sa.delete(AUDIT).where(AUDIT.c.what == what.value, AUDIT.c.number <= newest))
