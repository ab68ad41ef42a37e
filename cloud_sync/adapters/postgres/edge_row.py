"""Rows of `edge_node` to the values they are."""

from typing import Any

import sqlalchemy as sa

from cloud_sync.stream.view import EdgeNode, NodeRole


def edge_of(row: sa.Row[Any]) -> EdgeNode:
    """Return an admitted edge.

    Args:
        row: All columns of `EDGE_NODE`.
    """
    return EdgeNode(row.edge_id, row.station_id, row.public_key, NodeRole(row.role))
