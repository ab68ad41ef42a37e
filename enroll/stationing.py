"""Whether stations may hold a rider's face, decided in one place from the whole dossier.

Every use case changes the dossier first and then asks here what to tell the master gallery.
"""

from cloud_sync.gallery import Template
from cloud_sync.master.gallery import Activate, Deactivate, PutMaster
from enroll.consent import Permissions, permissions
from enroll.lookalike import Verdict
from enroll.rider import RiderState
from enroll.store import Dossier
from enroll.template import MasterTemplate


def allowed(dossier: Dossier) -> Permissions:
    """Return what the rider's consents allow; nothing once withdrawn."""
    if dossier.rider.state is RiderState.WITHDRAWN:
        return permissions((), minor=dossier.rider.minor)
    return permissions(dossier.consents, minor=dossier.rider.minor)


def held_back(dossier: Dossier) -> bool:
    """Tell whether an open look-alike pair keeps this face from the stations."""
    return any(pair.verdict is Verdict.OPEN for pair in dossier.alike)


def wanted(dossier: Dossier) -> MasterTemplate | None:
    """Return the template that stations may hold, None for none."""
    face_on = dossier.rider.state is RiderState.ACTIVE and allowed(dossier).send
    return dossier.template if face_on and not held_back(dossier) else None


def due(dossier: Dossier) -> Activate | Deactivate | None:
    """Return what the master gallery has not been told yet, None if it is up to date.

    Which stations then hold the face is for the prefilter to say; none of them while it is not
    active.
    """
    template = wanted(dossier)
    if template is None:
        return Deactivate(dossier.rider.ref) if dossier.stationed else None
    if template.version == dossier.stationed:
        return None
    return Activate(dossier.rider.ref)


def put(template: MasterTemplate) -> PutMaster:
    """Return the change that brings a template into the master gallery."""
    return PutMaster(
        Template(
            rider_ref=template.rider_ref,
            version=template.version,
            model_id=template.model_id,
            transform_id=template.transform_id,
            vector=template.vector,
        )
    )
