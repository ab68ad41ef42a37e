"""A rotation keeps every cosine, is the same everywhere, and hides nothing from its key's owner."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from cloud_sync.generate import templates
from cloud_sync.secrecy.rotation import Rotation, RotationSeed, orthogonal

SEED = RotationSeed("00000001", bytes(range(32)))
OTHER = RotationSeed("00000002", bytes(range(1, 33)))
GOLDEN = (-0.174165148709520, 0.036932925917890, -0.128818714603070, -0.210190013515274)
"""The first values of the first seed's matrix of 64 dimensions."""

_DIGEST = """
import hashlib, numpy as np
from cloud_sync.secrecy.rotation import orthogonal
rounded = np.round(orthogonal(bytes(range(32)), 64), 6).astype("<f4")
print(hashlib.sha256(rounded.tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """Give 200 generated templates, float32, shape (200, 512)."""
    return np.stack([each.vector for each in templates(200, seed=1, model_id="m")])


@pytest.fixture(scope="module")
def rotation() -> Rotation:
    """Give one rotation."""
    return Rotation(SEED)


class TestRotation:
    """Turning and turning back."""

    def test_keeps_cosines(self, faces: np.ndarray, rotation: Rotation) -> None:
        """All 40,000 cosines are what they were to 1e-6."""
        turned = rotation.apply(faces)

        assert turned.dtype == np.float32
        assert np.abs(turned @ turned.T - faces @ faces.T).max() < 1e-6

    def test_turns_back(self, faces: np.ndarray, rotation: Rotation) -> None:
        """Undone, every value is what it was to 1e-6, one by one and in a batch."""
        assert np.abs(rotation.undo(rotation.apply(faces)) - faces).max() < 1e-6
        assert np.abs(rotation.undo(rotation.apply(faces[0])) - faces[0]).max() < 1e-6

    def test_unlinks_operators(self, faces: np.ndarray, rotation: Rotation) -> None:
        """Turned by another seed, or not turned, a face is a stranger to itself; control above."""
        turned = rotation.apply(faces)

        own_plain = (turned * faces).sum(axis=1)
        own_other = (turned * Rotation(OTHER).apply(faces)).sum(axis=1)

        assert max(np.abs(own_plain).max(), np.abs(own_other).max()) < 0.3

    def test_is_not_irreversible(self, rotation: Rotation) -> None:
        """As many known pairs as dimensions give the matrix away; the docs must say so."""
        known = np.random.default_rng(1).standard_normal((512, 512))
        turned = rotation.apply(known.astype(np.float32))
        stolen = np.linalg.lstsq(known, turned.astype(np.float64), rcond=None)[0]
        victim = np.eye(512, dtype=np.float32)[7]

        assert float(rotation.apply(victim) @ stolen.T @ victim) > 0.99

    def test_names_its_transform(self, rotation: Rotation) -> None:
        """Templates say which rotation they went through; the seed shows its id alone."""
        assert rotation.transform_id == SEED.transform_id == "rot-00000001"
        assert SEED.secret.hex() not in repr(SEED)
        assert repr(SEED.secret)[2:-1] not in repr(SEED)


class TestOrthogonal:
    """The matrix."""

    @pytest.mark.parametrize("dimension", [1, 2, 64, 512])
    def test_is_orthogonal(self, dimension: int) -> None:
        """Its rows are unit vectors at right angles to 1e-12."""
        matrix = orthogonal(SEED.secret, dimension)

        assert np.abs(matrix @ matrix.T - np.eye(dimension)).max() < 1e-12

    def test_is_the_same_on_every_run(self) -> None:
        """Another process, and the machine this test was written on, give the same matrix."""
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
        command = [sys.executable, "-c", _DIGEST]
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        here = np.round(orthogonal(SEED.secret, 64), 6).astype("<f4").tobytes()

        assert told.stdout.strip() == hashlib.sha256(here).hexdigest()
        assert np.abs(orthogonal(SEED.secret, 64)[0, :4] - GOLDEN).max() < 1e-9

    def test_is_another_for_another_seed(self) -> None:
        """Control: one changed bit gives a matrix that has nothing to do with the first."""
        changed = bytes([1]) + SEED.secret[1:]
        product = orthogonal(SEED.secret, 64) @ orthogonal(changed, 64).T

        assert np.abs(product).max() < 0.9

    def test_prefers_no_direction(self) -> None:
        """Over many seeds the first axis goes everywhere alike: mean 0, variance 1 / D."""
        drawn = np.stack([orthogonal(bytes([n]) * 32, 8)[0] for n in range(256)])

        assert np.abs(drawn.mean(axis=0)).max() < 0.1
        assert np.abs(drawn.var(axis=0) - 1 / 8).max() < 0.05
