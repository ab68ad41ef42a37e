"""Eye and gallery at work on one face, where the eye gives nothing usable."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest

from cloud_sync.content import Space
from cloud_sync.gallery import PutTemplate, Template
from cloud_sync.stream.lease import Lease
from edge_gate import gaze
from edge_gate.adapters.memory_eye import MemoryEye, Person, look_of
from edge_gate.adapters.numpy_gallery import NumpyGallery
from edge_gate.align import DegenerateLandmarks
from edge_gate.approach import Approach, ApproachConfig, Sighting
from edge_gate.decide import DecideConfig, Grant
from edge_gate.embed import NoDirection
from edge_gate.face import Embedding, Image, Landmarks
from edge_gate.holdings import Holdings
from edge_gate.lap import Laps
from edge_gate.moment import Moment
from edge_gate.quality import QualityConfig
from edge_gate.reason import Deny, DenyReason
from edge_gate.search import SpaceMismatch
from edge_gate.tiers import Tiers

ANNA = UUID(int=10)
CONFIGS = (ApproachConfig(), DecideConfig())


class BlankEmbedder:
    """An embedder whose network gives zeros."""

    model_id = "memory/512"

    def embed(self, crops: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Fail as `normalise` does."""
        raise NoDirection("an embedding is zero or not finite")


def _no_warp(image: Image, landmarks: Landmarks, /) -> Image:
    raise DegenerateLandmarks("the five points lie on one line")


@pytest.fixture
def laps() -> Laps:
    """Give a stopwatch that stands still."""
    return Laps(lambda: 0.0)


@pytest.fixture
def holdings(noon: datetime) -> Holdings:
    """Give a station that holds Anna."""
    holdings = Holdings(
        Tiers(NumpyGallery(Space("memory/512")), NumpyGallery(Space("memory/512"))),
        lambda _size, _target: 0.5,
    )
    holdings.apply([PutTemplate(Template(ANNA, 1, "memory/512", "plain", look_of(10)))])
    holdings.renew(Lease(noon + timedelta(hours=1), noon), None)
    return holdings


def _approach(*looks: Embedding) -> Approach:
    approach = Approach(1, 0.0)
    for look in looks:
        approach = approach.seen(Sighting(look, 1.0, 0.99))
    return approach


class TestWorth:
    """Whether a frame is worth embedding."""

    def test_landmarks_on_one_line_are_worth_nothing(self, laps: Laps) -> None:
        """A face that cannot be aligned is no error, only no usable frame."""
        memory = MemoryEye()
        image = memory.show(Person(10))
        eye = replace(memory.eye, warp=_no_warp)

        found = gaze.worth(eye, image, memory.detect(image)[0], QualityConfig(), laps)

        assert found is None

    def test_control_a_good_face_is(self, laps: Laps) -> None:
        """Control: the same face with a warp that works is worth a look."""
        memory = MemoryEye()
        image = memory.show(Person(10))

        found = gaze.worth(memory.eye, image, memory.detect(image)[0], QualityConfig(), laps)

        assert found is not None


class TestSight:
    """One frame's embedding."""

    def test_an_embedding_that_points_nowhere_is_no_sighting(self, laps: Laps) -> None:
        """A network that gives zeros adds nothing to the evidence."""
        memory = MemoryEye()
        image = memory.show(Person(10))
        face = memory.detect(image)[0]
        eye = replace(memory.eye, embedder=BlankEmbedder())

        assert gaze.sight(eye, image, face, (image[:112, :112], 1.0), laps) is None


class TestAnswer:
    """Search and decide."""

    def test_frames_of_one_person_are_granted(
        self, holdings: Holdings, noon: datetime, laps: Laps
    ) -> None:
        """Control: two looks of Anna open for Anna."""
        approach = _approach(look_of(10), look_of(10))

        decision, best = gaze.answer(
            MemoryEye().eye, holdings, approach, CONFIGS, Moment(0, noon), laps
        )

        assert isinstance(decision, Grant)
        assert decision.rider_ref == ANNA
        assert best == pytest.approx(1.0)

    def test_frames_that_cancel_out_are_ambiguous(
        self, holdings: Holdings, noon: datetime, laps: Laps
    ) -> None:
        """Looks that point opposite ways are not of one person, and open for nobody."""
        approach = _approach(look_of(10), -look_of(10))

        answer = gaze.answer(MemoryEye().eye, holdings, approach, CONFIGS, Moment(0, noon), laps)

        assert answer == (Deny(DenyReason.AMBIGUOUS), None)

    def test_a_probe_of_another_model_is_refused_by_the_gallery(
        self, holdings: Holdings, noon: datetime, laps: Laps
    ) -> None:
        """Invariant 9: even a path that was opened wrongly cannot compare two spaces."""
        eye = MemoryEye(model_id="other/512").eye

        with pytest.raises(SpaceMismatch):
            gaze.answer(eye, holdings, _approach(look_of(10)), CONFIGS, Moment(0, noon), laps)
