"""One TOML in, one checked configuration out."""

from pathlib import Path

import pytest

from edge_gate.config import ConfigWrong, parse
from fare.tap import Direction

STATION = """
[station]
station_id = "bei"
edge_id = "edge-bei"
data_dir = "data"
cloud = "127.0.0.1:7443"
"""
LANE = """
[[lane]]
id = "entry"
direction = "entry"
camera = "webcam:0"
"""

ENTRANCE = LANE.replace('"entry"', '"hall"', 1) + 'role = "entrance"\n'


class TestParse:
    """What is read."""

    def test_a_short_file_is_enough(self) -> None:
        """Station, node, folder, cloud and one lane make a configuration; the rest has defaults."""
        config = parse(STATION + LANE, folder=Path("/etc/gateline"))

        assert config.station_id == "bei"
        assert config.data_dir == Path("/etc/gateline/data")
        assert config.lanes[0].direction is Direction.ENTRY
        assert not config.show_pictures

    def test_any_field_of_any_stage_can_be_set(self) -> None:
        """A table per stage sets its own dataclass, whole numbers doing for fractions."""
        text = STATION + LANE + "[stages.face.approach]\nframes_first = 1\ndeadline_s = 3\n"

        approach = parse(text, folder=Path()).stages.face.approach

        assert (approach.frames_first, approach.deadline_s) == (1, 3.0)

    def test_a_lane_has_its_own_zone(self) -> None:
        """The zone of a lane replaces the stages' zone for that lane alone."""
        zone = "zone = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0]]\n"
        config = parse(STATION + LANE + zone + LANE.replace('"entry"', '"exit"'), folder=Path())

        mine, other = (config.lane_config(lane).face.intent.zone for lane in config.lanes)

        assert mine == ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0))
        assert other == config.stages.face.intent.zone

    def test_an_entrance_is_no_gate(self) -> None:
        """An entrance's camera stands beside the gates, with a zone of its own and no barrier."""
        zone = "zone = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0]]\n"
        text = STATION + "presence = true\n" + LANE + ENTRANCE + zone

        config = parse(text, folder=Path())

        assert [lane.id for lane in config.gates] == ["entry"]
        assert [lane.id for lane in config.entrances] == ["hall"]
        assert config.entrance_config(config.entrances[0]).intent.zone[2] == (0.5, 1.0)

    @pytest.mark.parametrize("presence", ["", "presence = false\n"])
    def test_entrances_are_off_unless_switched_on(self, presence: str) -> None:
        """A file that names an entrance without switching presence on is refused, not obeyed."""
        with pytest.raises(ConfigWrong, match="presence = true"):
            parse(STATION + presence + LANE + ENTRANCE, folder=Path())

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("station", "not TOML"),
            (STATION, "at least one"),
            (STATION + LANE + LANE, "same id"),
            (STATION + LANE + "colour = 1\n", "unknown colour"),
            (STATION + LANE + "[lights]\non = true\n", "unknown: lights"),
            (
                STATION + LANE.replace('"entry"\ncamera', '"sideways"\ncamera'),
                "none of entry, exit",
            ),
            (STATION.replace('"bei"', "7") + LANE, "str is needed"),
            (STATION + "target_fpir = 2.0\n" + LANE, "out of range"),
            (STATION + "show_pictures = 1\n" + LANE, "bool is needed"),
            (STATION + "keep_taps_days = 1\n" + LANE, "keep_taps_days is 7"),
            (STATION + LANE + "[stages.face.approach]\nframes_first = 0\n", "out of range"),
            (STATION + LANE + "[stages.face.approach]\nframes_first = true\n", "int is needed"),
            (STATION + LANE + 'zone = "all"\n', "a list is needed"),
            (STATION + LANE + "zone = [[0.1], [0.2], [0.3]]\n", "2 values"),
            ("[station]\n" + LANE, "missing"),
            ("station = 1\n" + LANE, "a table is needed"),
        ],
    )
    def test_says_what_is_wrong(self, text: str, why: str) -> None:
        """A file that cannot be used is refused with the place and the reason."""
        with pytest.raises(ConfigWrong, match=why):
            parse(text, folder=Path())
