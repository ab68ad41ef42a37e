"""The control of every search for secrets: what is planted is found, what may be told is not."""

import base64
import json
import logging
from uuid import UUID

import numpy as np
import pytest

from cloud_sync.generate import templates
from fare.log import _JsonLine
from tests.leaks import leaks
from tests.people import portraits
from tests.riders import png

KEY = bytes(range(100, 132))
FACE = templates(1, seed=5, model_id="m")[0]
PHOTO = png(portraits()["Robin"])
SECRETS = {"key": KEY, "face": FACE.vector.tobytes(), "photo": PHOTO}


def line(**fields: object) -> str:
    """Write a line as the processes do."""
    record = logging.LogRecord("enroll", logging.INFO, "", 0, "said", None, None)
    record.fields = fields
    return _JsonLine().format(record)


class TestLeaks:
    """Searching."""

    @pytest.mark.parametrize(
        "planted",
        [
            line(key=KEY),
            line(key=KEY.hex()),
            line(key=base64.b64encode(b"x" + KEY).decode()),
            line(key=base64.urlsafe_b64encode(KEY).decode()),
            line(key=list(KEY)),
            KEY.decode("latin-1"),
            line(template=FACE.vector),
            line(template=FACE.vector.tolist()),
            line(template=str(FACE.vector.tolist()[100:106])),
            line(template=" ".join(f"{value:.3f}" for value in FACE.vector[:8])),
            line(template=FACE.vector.astype("<f2").tobytes().hex()),
            line(template=base64.b64encode(FACE.vector[200:].tobytes()).decode()),
            FACE.vector.tobytes().decode("utf-8", "surrogateescape"),
            line(photo=PHOTO[:60]),
            line(photo=base64.b64encode(PHOTO[3000:3200]).decode()),
            PHOTO[5000:5300].decode("utf-8", "surrogateescape"),
            line(problem=repr(np.zeros((2, 2), np.uint8))),
        ],
        ids=lambda text: text[-40:].encode("ascii", "replace").decode().replace("\\", "|"),
    )
    def test_finds_what_is_planted(self, planted: str) -> None:
        """A key, a face or a photo in any form is found, wherever in it the piece begins."""
        assert leaks(planted, SECRETS)

    def test_lets_pass_what_may_be_told(self) -> None:
        """Control: references, digests, figures, reasons and a template's `repr` are no leak."""
        told = [
            line(rider=UUID(int=2**127 + 5), edge_id="edge-bell-tower", port=7443, seconds=1.25),
            line(content_hash=bytes(range(32, 64)).hex(), detail="the record does not open"),
            line(model="open/fr_feature@099a05f677f2", score=0.6421, margin=0.1, at_s=12.125),
            line(template=FACE),
            json.dumps({"path": "/var/lib/gateline/var/keys/root-0a1b2c3d.key", "mode": "640"}),
        ]

        assert leaks("\n".join(told), SECRETS) == set()
