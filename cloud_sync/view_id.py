"""The ids of views: a station's own, and beside it that of its next model while that is changed.

A station has one view, named like itself. While the operator changes the model (`model_change`) it
has a second one of the coming model, so that nodes of either model are served what they can compare
with. Which of the two a node follows is decided by the model it brings; which station it is at, by
its certificate alone.
"""

from collections.abc import Mapping

_NEXT = "|next"
"""No certificate names a station that ends so: `device.identity_of` reads none."""


def next_view(station_id: str) -> str:
    """Return the id of a station's view of the coming model."""
    return station_id + _NEXT


def is_next(view_id: str) -> bool:
    """Return whether a view is of the coming model."""
    return view_id.endswith(_NEXT)


def station_of(view_id: str) -> str:
    """Return the station that a view is of."""
    return view_id.removesuffix(_NEXT)


def followed(station_id: str, models: Mapping[str, str], model_id: str) -> str:
    """Return which view a node of a station follows.

    Args:
        station_id: Where the node is, proven.
        models: The model of each of the station's views, by the view's id.
        model_id: The node's own; one that is neither's is refused when the stream is planned.
    """
    coming = next_view(station_id)
    return coming if models.get(coming) == model_id else station_id
