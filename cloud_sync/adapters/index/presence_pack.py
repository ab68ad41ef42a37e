"""A presence desk for a pack of models: an index, and what the model's scores mean."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from cloud_sync.adapters.index.choice import IndexChoice
from cloud_sync.adapters.index.presence_desk import PresenceDesk
from cloud_sync.adapters.postgres.membership import Membership
from cloud_sync.calibration import Calibration, from_table
from models.manifest import pack


def opened(
    engine: sa.Engine, membership: Membership, pack_names: Sequence[str], index: IndexChoice
) -> PresenceDesk:
    """Return a desk with an index and the calibrations of packs.

    Args:
        engine: The database.
        membership: Puts riders into views.
        pack_names: Of the manifest; while the model is changed that of the coming one, too.
        index: Where the gallery is searched.

    Raises:
        PackUnknown: There is no such pack.
    """
    known = {key: each for name in pack_names for key, each in calibrated(name).items()}
    return PresenceDesk(engine, membership, known, make_index=index.make)


def calibrated(pack_name: str) -> Mapping[str, Calibration]:
    """Return the calibration of a pack by its model id; empty where it was never measured.

    Args:
        pack_name: Of the manifest.

    Raises:
        PackUnknown: There is no such pack.
    """
    models = pack(pack_name)
    known = models.calibration
    if not known:
        return {}
    # It holds for the very file of weights that it was measured with, which the model id names.
    return {f"{models.space}@{known['embedder_sha256'][:12]}": from_table(known)}
