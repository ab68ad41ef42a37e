"""Noticing a broken camera within two seconds."""

from collections.abc import Callable

import numpy as np
import pytest

from edge_gate.face import Frame, Image
from edge_gate.reason import DenyReason
from edge_gate.watch import CameraState, CameraWatch, WatchConfig

FPS = 15
RNG = np.random.default_rng(3)
SCENE = RNG.integers(40, 200, (480, 640, 3), dtype=np.uint8)
NOISE = RNG.integers(0, 3, (8, 480, 640, 3), dtype=np.uint8)


def healthy(index: int) -> Image:
    """Return a still scene with a little noise of the sensor."""
    return np.asarray(SCENE + NOISE[index % 7 if index % 2 else (index * 3) % 8], np.uint8)


def clock_over_still(index: int) -> Image:
    """Return a frozen picture into which the camera still draws its clock."""
    picture = SCENE.copy()
    picture[8:16, 8:24] = index % 256
    return picture


BROKEN: dict[str, tuple[CameraState, Callable[[int], Image | None]]] = {
    "cable out": (CameraState.LOST, lambda _: None),
    "lens cap": (CameraState.BLACK, lambda i: np.asarray(NOISE[i % 8] * 4, np.uint8)),
    "video black": (CameraState.BLACK, lambda _: np.full((480, 640, 3), 16, np.uint8)),
    "sun": (CameraState.OVEREXPOSED, lambda i: np.asarray(253 + NOISE[i % 8], np.uint8)),
    "hung driver": (CameraState.FROZEN, lambda _: SCENE),
    "hung under a clock": (CameraState.FROZEN, clock_over_still),
}


def noticed_after_s(broken: Callable[[int], Image | None], state: CameraState) -> float:
    """Run three healthy seconds, then the fault; return how long until it shows."""
    watch = CameraWatch(0.0)
    for i in range(3 * FPS):
        watch.step(Frame(healthy(i), i, i / FPS), i / FPS)
    assert watch.state == CameraState.OK
    for i in range(3 * FPS, 8 * FPS):
        picture = broken(i)
        frame = None if picture is None else Frame(picture, i, i / FPS)
        if watch.step(frame, i / FPS) is state:
            return (i - 3 * FPS) / FPS
    raise AssertionError(f"never noticed: {watch.state}")


class TestCameraWatch:
    """What it notices, what it forgives."""

    @pytest.mark.parametrize("fault", BROKEN)
    def test_notices_within_two_seconds(self, fault: str) -> None:
        """Each fault shows under its own name within two seconds of its start."""
        state, broken = BROKEN[fault]

        assert 1.0 <= noticed_after_s(broken, state) <= 2.0

    def test_never_blames_a_healthy_camera(self) -> None:
        """Sixty seconds of an unmoving scene with weak noise stay OK: control of the faults."""
        watch = CameraWatch(0.0)

        states = {watch.step(Frame(healthy(i), i, i / FPS), i / FPS) for i in range(60 * FPS)}

        assert {CameraState.OK} == states

    def test_a_dark_concourse_is_not_black(self) -> None:
        """A night picture with one lamp is dim, not broken."""
        night = (SCENE // 12).astype(np.uint8)
        night[40:80, 100:300] = 180
        watch = CameraWatch(0.0)

        states = {
            watch.step(Frame(night + NOISE[i % 8], i, i / FPS), i / FPS) for i in range(5 * FPS)
        }

        assert {CameraState.OK} == states

    def test_a_short_dropout_is_forgiven(self) -> None:
        """One second without frames, as a network camera has, closes nothing."""
        watch = CameraWatch(0.0)
        watch.step(Frame(healthy(0), 0, 0.0), 0.0)

        states = {watch.step(None, 0.1 * i) for i in range(1, 11)}

        assert {CameraState.OK} == states

    def test_the_same_number_is_not_a_new_frame(self) -> None:
        """A slot that hands out its last frame for ever counts as lost."""
        watch, frame = CameraWatch(0.0), Frame(healthy(0), 0, 0.0)

        states = [watch.step(frame, i / FPS) for i in range(3 * FPS)]

        assert (states[0], states[-1]) == (CameraState.OK, CameraState.LOST)

    def test_recovers_with_the_first_good_frame(self) -> None:
        """After a loss of ten seconds one frame is enough to see again."""
        watch = CameraWatch(0.0)
        watch.step(Frame(healthy(0), 0, 0.0), 0.0)
        assert watch.step(None, 10.0) == CameraState.LOST

        assert watch.step(Frame(healthy(1), 1, 10.1), 10.1) == CameraState.OK

    def test_is_lost_until_the_first_frame(self) -> None:
        """A camera that has not shown anything yet opens no face path."""
        assert CameraWatch(0.0).step(None, 0.1) == CameraState.LOST

    def test_without_tolerance_a_drawn_clock_would_hide_the_freeze(self) -> None:
        """Control: with a tolerance of nothing the drawn clock passes for life."""
        watch = CameraWatch(0.0, WatchConfig(changed_share_min=1e-9))

        states = {
            watch.step(Frame(clock_over_still(i), i, i / FPS), i / FPS) for i in range(4 * FPS)
        }

        assert {CameraState.OK} == states

    def test_every_fault_has_its_reason(self) -> None:
        """Each state but OK closes the face path with a reason of its own."""
        reasons = {state: state.reason for state in CameraState}

        assert reasons.pop(CameraState.OK) is None
        assert {
            DenyReason.CAMERA_LOST,
            DenyReason.CAMERA_BLACK,
            DenyReason.CAMERA_OVEREXPOSED,
            DenyReason.CAMERA_FROZEN,
        } == set(reasons.values())

    @pytest.mark.parametrize(
        "wrong", [{"fault_after_s": 1.9}, {"dark_max": 255}, {"changed_share_min": 2.0}]
    )
    def test_refuses_a_wrong_config(self, wrong: dict[str, float]) -> None:
        """A config that could not keep the two seconds is refused."""
        with pytest.raises(ValueError, match=" "):
            WatchConfig(**wrong)  # type: ignore[arg-type]
