"""What a node tells of itself."""

from datetime import timedelta
from uuid import UUID

from edge_gate.answer import Answer
from edge_gate.barrier import State
from edge_gate.health import Means, Tally, node_health
from edge_gate.moment import Moment
from edge_gate.pipeline import LaneView
from edge_gate.reason import DenyReason
from edge_gate.screen import Screen, Sign
from edge_gate.status import GalleryStatus, LaneStatus, StationStatus
from edge_gate.tapping import Place
from edge_gate.watch import CameraState
from fare.tap import Direction, Medium
from tests.fleet import NOON

ENTRY = Place("bell-tower", "entry-1", Direction.ENTRY)
ROBIN = UUID(int=1)


def status(
    *, camera: CameraState = CameraState.OK, shut: DenyReason | None = None
) -> StationStatus:
    """Give what the staff page shows of a station of one lane."""
    view = LaneView(Screen(Sign.READY, "Welcome"), camera, State.CLOSED, 0, shut)
    lanes = (LaneStatus("entry-1", "entry", view, 10.0, 0, {}),)
    gallery = GalleryStatus(900, 0, 0.64, 1e-2, True, NOON + timedelta(hours=20), 77)
    return StationStatus("bell-tower", "Bell Tower", "edge-1", NOON, "m", gallery, 3, lanes, ())


def means(**fields: object) -> Means:
    """Give the rest of a report."""
    well: dict[str, object] = {
        "model_digest": "face@0123",
        "software": "0.1.0",
        "protocol": 1,
        "disk_free_bytes": 10**10,
        "oldest_tap": None,
        "frame_ages_s": {"entry-1": 0.04},
    }
    return Means(**(well | fields))  # type: ignore[arg-type]


class TestTally:
    """Counting answers."""

    def test_counts_by_what_opened(self) -> None:
        """A face, a code and a refusal are three answers of a lane; other lanes have none."""
        tally = Tally(NOON)
        for answer in (
            Answer(Medium.FACE, None, ROBIN),
            Answer(Medium.CODE, None, ROBIN),
            Answer(Medium.FACE, DenyReason.NOT_RECOGNISED),
            Answer(Medium.CODE, DenyReason.CODE_EXPIRED),
        ):
            tally.note(ENTRY, answer)

        assert tally.of("entry-1") == (1, 1, 2)
        assert tally.of("exit-1") == (0, 0, 0)

    def test_a_second_opening_is_no_passage(self) -> None:
        """A barrier that opens again on the same tap counts nobody twice."""
        tally = Tally(NOON)
        tally.note(ENTRY, Answer(Medium.FACE, None, ROBIN))
        tally.note(ENTRY, Answer(Medium.FACE, None, ROBIN, again=True))

        assert tally.of("entry-1") == (1, 0, 0)


class TestNodeHealth:
    """The report."""

    def test_says_what_the_station_shows(self) -> None:
        """Gallery, outbox, clock and lanes come from where the staff page has them."""
        tally = Tally(NOON - timedelta(hours=1))
        tally.note(ENTRY, Answer(Medium.FACE, None, ROBIN))
        oldest = NOON - timedelta(seconds=8)

        told = node_health(status(), tally, means(oldest_tap=oldest), Moment(5.0, NOON, 40))

        assert (told.edge_id, told.station_id, told.revision) == ("edge-1", "bell-tower", 77)
        assert (told.first_tier, told.outbox_depth, told.outbox_age_s) == (900, 3, 8.0)
        assert (told.clock_error_ms, told.started_at) == (40, NOON - timedelta(hours=1))
        (lane,) = told.lanes
        assert (lane.camera, lane.shut, lane.frame_age_s) == ("ok", "", 0.04)
        assert (lane.by_face, lane.by_code, lane.refused) == (1, 0, 0)

    def test_says_why_a_lane_is_shut(self) -> None:
        """Camera and reason go up in the words of screen and log."""
        shown = status(camera=CameraState.BLACK, shut=DenyReason.CAMERA_BLACK)

        (lane,) = node_health(shown, Tally(NOON), means(), Moment(5.0, NOON)).lanes

        assert (lane.camera, lane.shut) == ("black", "camera_black")

    def test_a_lane_to_be_tried_is_no_gate(self) -> None:
        """A lane whose camera is a browser, which nobody may have opened, alarms nobody."""
        shown = status(camera=CameraState.LOST, shut=DenyReason.CAMERA_LOST)

        assert (
            node_health(shown, Tally(NOON), means(frame_ages_s={}), Moment(5.0, NOON)).lanes == ()
        )

    def test_a_tap_from_the_future_has_waited_for_nothing(self) -> None:
        """A clock set back makes no negative age."""
        late = means(oldest_tap=NOON + timedelta(hours=1))

        assert node_health(status(), Tally(NOON), late, Moment(5.0, NOON)).outbox_age_s == 0.0

    def test_tells_nobody_who_passed(self) -> None:
        """No rider's reference is in a report."""
        tally = Tally(NOON)
        tally.note(ENTRY, Answer(Medium.FACE, None, ROBIN))

        assert str(ROBIN) not in repr(node_health(status(), tally, means(), Moment(5.0, NOON)))
