"""A node's report as the JSON of its row, and back."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from cloud_sync.fleet.health import EdgeHealth, LaneHealth

_TIMES = ("told_at", "started_at", "lease_until", "certificate_from", "certificate_until")


def health_row(health: EdgeHealth) -> dict[str, Any]:
    """Return a report as JSON-ready values; times as ISO 8601."""
    row = asdict(health)
    for name in _TIMES:
        row[name] = None if row[name] is None else row[name].isoformat()
    return row


def health_of(row: dict[str, Any]) -> EdgeHealth:
    """Return the report that `health_row` was given."""
    fields = dict(row)
    for name in _TIMES:
        fields[name] = None if fields[name] is None else datetime.fromisoformat(fields[name])
    fields["lanes"] = tuple(LaneHealth(**lane) for lane in fields["lanes"])
    return EdgeHealth(**fields)
