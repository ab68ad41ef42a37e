"""A simulated bank over HTTP with its own durable book: it answers as the card's token says.

Every movement happens at most once per id, whatever is sent again. The book is an SQLite file of
its own, so what was taken can be counted after any crash, also of this process.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import apsw
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from fare.adapters.script import Movement, conduct, decide, same_terms
from fare.charge import Kind
from fare.money import Money

_SCHEMA = """
CREATE TABLE IF NOT EXISTS movement (
    place INTEGER PRIMARY KEY,
    movement_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    token TEXT NOT NULL,
    of TEXT,
    minor_units INTEGER NOT NULL CHECK (minor_units > 0),
    currency TEXT NOT NULL,
    paid INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT
"""


class MovementConflict(Exception):
    """An id came again for something else."""


@dataclass(frozen=True, slots=True)
class BankConfig:
    """How the simulated bank passes the time."""

    silence_s: float = 60.0
    """How long a silent card keeps its caller waiting before the connection ends; seconds, above
    the caller's time-out."""
    slow_s: float = 1.5
    """How long a slow card takes to answer; seconds."""


class BankBook:
    """The bank's durable book; one connection, used from one thread."""

    def __init__(self, path: Path) -> None:
        """Open or make the book.

        Args:
            path: The SQLite file.
        """
        self._db = apsw.Connection(str(path))
        self._db.set_busy_timeout(5_000)
        self._db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        self._db.execute(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def book(self, wanted: Movement) -> Movement:
        """Do a movement once; a card that does not remember leaves no trace.

        Args:
            wanted: What was asked for.

        Returns:
            What happened, now or the first time.

        Raises:
            MovementConflict: The id was used for something else.
        """
        known = self.find(wanted.movement_id)
        if known is not None:
            if not same_terms(known, wanted):
                raise MovementConflict(str(wanted.movement_id))
            return known
        captured = self.find(wanted.of) if wanted.of else None
        booked = decide(wanted, captured, self._already_back(wanted.of))
        if conduct(booked.token).remembers:
            self._write(booked)
        return booked

    def find(self, movement_id: UUID) -> Movement | None:
        """Return a movement the bank has seen."""
        found = self._read("WHERE movement_id = ?", (str(movement_id),))
        return found[0] if found else None

    def statement(self) -> list[Movement]:
        """Return everything in the book, oldest first."""
        return self._read("", ())

    def _already_back(self, capture_id: UUID | None) -> int:
        refunds = self._read("WHERE kind = 'refund' AND paid AND of = ?", (str(capture_id),))
        return sum(refund.amount.minor_units for refund in refunds)

    def _read(self, where: str, bindings: tuple[str, ...]) -> list[Movement]:
        columns = "movement_id, kind, token, of, minor_units, currency, paid, reason"
        query = f"SELECT {columns} FROM movement {where} ORDER BY place"  # noqa: S608  # constants
        return [
            Movement(
                movement_id=UUID(row[0]),
                kind=Kind(row[1]),
                token=row[2],
                of=UUID(row[3]) if row[3] else None,
                amount=Money(row[4], row[5]),
                paid=bool(row[6]),
                reason=row[7],
            )
            for row in self._db.execute(query, bindings)
        ]

    def _write(self, movement: Movement) -> None:
        self._db.execute(
            "INSERT INTO movement (movement_id, kind, token, of, minor_units, currency, paid,"
            " reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                str(movement.movement_id),
                movement.kind.value,
                movement.token,
                str(movement.of) if movement.of else None,
                movement.amount.minor_units,
                movement.amount.currency,
                int(movement.paid),
                movement.reason,
            ),
        )


class _ChargeBody(BaseModel):
    token: str
    minor_units: Annotated[int, Field(gt=0)]
    currency: str


class _RefundBody(BaseModel):
    of: UUID
    minor_units: Annotated[int, Field(gt=0)]
    currency: str


def create_app(book: BankBook, config: BankConfig | None = None) -> FastAPI:
    """Build the bank's interface.

    Args:
        book: Where movements are kept.
        config: How it passes the time.
    """
    config = config or BankConfig()
    app = FastAPI(title="Simulated bank", docs_url=None, redoc_url=None)

    async def move(wanted: Movement) -> JSONResponse:
        try:
            booked = book.book(wanted)
        except MovementConflict:
            return JSONResponse({"outcome": "conflict"}, status_code=409)
        card = conduct(booked.token)
        if not card.answers:
            await asyncio.sleep(config.silence_s)
            return JSONResponse({"outcome": "timeout"}, status_code=504)
        if card.slow:
            await asyncio.sleep(config.slow_s)
        return JSONResponse(_said(booked))

    @app.put("/charges/{charge_id}")
    async def charge(charge_id: UUID, body: _ChargeBody) -> JSONResponse:
        amount = Money(body.minor_units, body.currency)
        return await move(
            Movement(charge_id, Kind.CAPTURE, body.token, None, amount, paid=False, reason="")
        )

    @app.put("/refunds/{refund_id}")
    async def refund(refund_id: UUID, body: _RefundBody) -> JSONResponse:
        amount = Money(body.minor_units, body.currency)
        return await move(
            Movement(refund_id, Kind.REFUND, "", body.of, amount, paid=False, reason="")
        )

    @app.get("/movements/{movement_id}")
    async def query(movement_id: UUID) -> JSONResponse:
        known = book.find(movement_id)
        if known is None:
            return JSONResponse({"outcome": "not_found"}, status_code=404)
        return JSONResponse(_said(known))

    @app.get("/statement")
    async def statement() -> list[dict[str, Any]]:
        return [_line(movement) for movement in book.statement()]

    return app


def _said(movement: Movement) -> dict[str, str]:
    if movement.paid:
        return {"outcome": "paid"}
    return {"outcome": "declined", "reason": movement.reason}


def _line(movement: Movement) -> dict[str, Any]:
    return {
        "id": str(movement.movement_id),
        "kind": movement.kind.value,
        "token": movement.token,
        "of": str(movement.of) if movement.of else None,
        "minor_units": movement.amount.minor_units,
        "currency": movement.amount.currency,
        "paid": movement.paid,
        "reason": movement.reason,
    }
