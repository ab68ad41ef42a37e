"""From the accepted photos of a rider to one template.

Comes in: embeddings of one space with their quality. Goes out: a unit vector. This file does not
know whose face it is or where the template goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from edge_gate import embed
from edge_gate.face import Embedding

PLAIN = "plain"
"""The `transform_id` of a template without a keyed transform."""


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """What the coming model made of a photo while the model is changed."""

    model_id: str
    embedding: Embedding | None
    """float32, shape (D,), unit length; None when it was refused."""
    quality: float
    """As a photo's; 0 when it was refused."""
    refusal: str = ""
    """Why it was refused, a value of `refusal.Refusal`; empty when it was not."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """What stays of one accepted photo."""

    photo_id: UUID
    rider_ref: UUID
    taken: datetime
    """When it was accepted, aware UTC."""
    model_id: str
    """The embedder that measured it."""
    embedding: Embedding
    """float32, shape (D,), unit length."""
    quality: float
    """The weight in the fusion, above 0, at most 1; 1 is a frontal, sharp, well-lit face."""
    original: bytes | None = None
    """The picture as uploaded, kept only with the consent `keep_photos`."""
    again: Again | None = None
    """What the coming model made of it; None while none is coming, or it was not looked at."""

    def anew(self) -> "Photo | None":
        """Return the photo as the coming model has it; None when it has not."""
        if self.again is None or self.again.embedding is None:
            return None
        return replace(
            self,
            model_id=self.again.model_id,
            embedding=self.again.embedding,
            quality=self.again.quality,
            again=None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class MasterTemplate:
    """The rider's reference in the master gallery."""

    rider_ref: UUID
    version: int
    """From 1, one more with each new fusion; never used twice for one rider."""
    model_id: str
    transform_id: str
    vector: Embedding
    """float32, shape (D,), unit length."""
    made: datetime
    """Aware UTC."""
    photos: int
    """How many photos were fused."""


class NothingToFuse(ValueError):
    """No photo, photos of several embedding spaces, or embeddings that cancel out."""


def fuse(photos: Sequence[Photo], *, version: int, made: datetime) -> MasterTemplate:
    """Combine the photos' embeddings, the better ones counting more, as the gate does with frames.

    Args:
        photos: At least one, all of one rider and one model.
        version: The number of the new template.
        made: Now, aware UTC.

    Raises:
        NothingToFuse: There is no photo, or they do not go together.
    """
    owners = {(photo.rider_ref, photo.model_id) for photo in photos}
    if len(owners) != 1:
        raise NothingToFuse(f"{len(photos)} photos of {len(owners)} riders and models")
    ((rider_ref, model_id),) = owners
    try:
        vector = embed.fuse([p.embedding for p in photos], [p.quality for p in photos])
    except embed.NoDirection as error:
        raise NothingToFuse(str(error)) from error
    return MasterTemplate(rider_ref, version, model_id, PLAIN, vector, made, len(photos))
