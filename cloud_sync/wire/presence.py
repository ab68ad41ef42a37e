"""A look at an entrance as protobuf and back."""

import numpy as np
from gateline.sync.v1 import presence_service_pb2 as pb

from cloud_sync.content import TemplateRefused, check, pack, unpack
from cloud_sync.master.presence import Look, Outcome

_OUTCOMES = {each: pb.IdentifyResponse.Outcome.Value(f"OUTCOME_{each.name}") for each in Outcome}
_WORDS = {number: each for each, number in _OUTCOMES.items()}


def look_to_proto(look: Look, edge_id: str) -> pb.IdentifyRequest:
    """Return a look as protobuf.

    Args:
        look: The look.
        edge_id: This node; the cloud believes the certificate.
    """
    return pb.IdentifyRequest(
        edge_id=edge_id,
        embedding=pack(look.vector),
        model_id=look.model_id,
        transform_id=look.transform_id,
    )


def look_from_proto(request: pb.IdentifyRequest, *, dimension: int) -> Look | None:
    """Return the look that a request holds; None when it is none.

    Args:
        request: As received.
        dimension: Values in a vector.
    """
    try:
        vector = unpack(request.embedding)
        check(vector, dimension=dimension)
    except TemplateRefused:
        return None
    # float16 moved its length a little; scores are cosines.
    vector /= np.linalg.norm(vector)
    return Look(vector, request.model_id, request.transform_id)


def outcome_to_proto(outcome: Outcome) -> pb.IdentifyResponse:
    """Return an answer as protobuf."""
    return pb.IdentifyResponse(outcome=_OUTCOMES[outcome])


def outcome_from_proto(response: pb.IdentifyResponse) -> Outcome | None:
    """Return the answer; None for one that a newer cloud gives."""
    return _WORDS.get(response.outcome)
