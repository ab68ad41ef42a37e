"""Scripts of a simulated camera, and where its actors are."""

import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gate.scene import (
    Actor,
    Fault,
    Key,
    Outage,
    Presents,
    Scene,
    SceneWrong,
    parse_actor,
    parse_scene,
)
from edge_gate.walk import Phase, phase_at, pose_at

SCRIPT = """
[scene]
fps = 10
cue_dir = "cues"

[[actor]]
name = "Amina"
photo = "amina.png"
start_s = 2
stand_s = 3.5
face = [10, 20, 90, 120]

[[actor]]
name = "Boris"
photo = "amina.png"
presents = "screen"
cue = "boris.go"
leave = "boris.leave"

[[actor.key]]
at_s = 0.0
x = 0.1
y = 0.4
width_px = 40

[[actor.key]]
at_s = 4.0
x = 0.9
y = 0.4
width_px = 40

[[fault]]
kind = "frozen"
from_s = 5
to_s = 8.5
"""


class TestParse:
    """Text in, scenes out."""

    def test_reads_a_whole_script(self) -> None:
        """Every table and type of value arrives in its field."""
        scene = parse_scene(SCRIPT)

        amina, boris = scene.actors
        assert scene.fps == 10
        assert (amina.start_s, amina.stand_s, amina.face) == (2, 3.5, (10, 20, 90, 120))
        assert (boris.presents, boris.cue) == (Presents.SCREEN, "boris.go")
        assert [Key(0.0, 0.1, 0.4, 40), Key(4.0, 0.9, 0.4, 40)] == list(boris.keys)
        assert scene.outages == (Outage(Fault.FROZEN, 5, 8.5),)

    def test_reads_an_actor_alone(self) -> None:
        """An actor's own file needs no table header, and its name may be the file's."""
        actor = parse_actor('photo = "x.png"\nx = 0.3\n', name="chen")

        assert Actor(name="chen", photo="x.png", x=0.3) == actor

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("[scene", "no TOML"),
            ("[actors]", "unknown tables"),
            ("scene = 3", "must be a table"),
            ("[scene]\nspeed = 1", "unknown word 'speed'"),
            ("[scene]\nactors = []", "unknown word 'actors'"),
            ("[scene]\nwidth = '640'", "does not take"),
            ("[scene]\nwidth = true", "does not take"),
            ("[scene]\nfps = 0", "fps must be"),
            ("[scene]\nnoise = nan", "does not take"),
            ("[actor]\nname = 'a'", "array of tables"),
            ("[[actor]]\nname = 'a'\nphoto = 'p'", "either start_s or cue"),
            ("[[actor]]\nname = 'a'\nphoto = 'p'\ncue = 'c'", "need a cue_dir"),
            ("[[actor]]\nname = 'a'\nstart_s = 0", "missing"),
            ("[[actor]]\nname = 'a'\nphoto = ''\nstart_s = 0", "name and photo"),
            ("[[actor]]\nname = 'a'\nphoto = 'p'\nstart_s = 0\npresents = 'mask'", "mask"),
            ("[[actor]]\nname = 'a'\nphoto = 'p'\nstart_s = 0\nface = [1, 2]", "face is"),
            ("[[actor]]\nname = 'a'\nphoto = 'p'\nstart_s = 0\nwidth_px = 9999", "width_px"),
            (
                "[[actor]]\nname='a'\nphoto='p'\nstart_s=0\n[[actor.key]]\nat_s=0\nx=0\ny=0\nwidth_px=9",
                "two or more keys",
            ),
            ("[[fault]]\nkind = 'rain'\nfrom_s = 0\nto_s = 1", "rain"),
            ("[[fault]]\nkind = 'black'\nfrom_s = 2\nto_s = 1", "from_s < to_s"),
            ("[[fault]]\nkind = 'black'", "needs kind"),
        ],
    )
    def test_refuses_what_cannot_be_played(self, text: str, why: str) -> None:
        """A wrong script says what is wrong in it."""
        with pytest.raises(SceneWrong) as refusal:
            parse_scene(text)

        assert why in str(refusal.value)

    @given(st.text(string.printable, max_size=200))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """No text whatever raises anything but SceneWrong: cue files come from outside."""
        try:
            parsed = parse_actor(text, name="someone")
        except SceneWrong:
            return
        assert isinstance(parsed, Actor)

    def test_an_empty_script_is_an_empty_hall(self) -> None:
        """Every setting has a default."""
        assert Scene() == parse_scene("")


DAVI = Actor(name="Davi", photo="davi.png", approach_s=1.5, stand_s=2.0, leave_s=0.8)


class TestWalk:
    """Where an actor is at a moment."""

    @pytest.mark.parametrize(
        ("walked_s", "left_s", "phase"),
        [
            (0.0, None, Phase.APPROACH),
            (1.4, 0.2, Phase.APPROACH),  # a gate that opens early does not stop the walk up
            (1.6, None, Phase.STAND),
            (1.6, 0.2, Phase.THROUGH),
            (3.4, None, Phase.STAND),
            (3.6, None, Phase.AWAY),
            (3.6, 3.4, Phase.THROUGH),
            (4.1, 4.0, Phase.AWAY),  # who has turned away does not come back
            (4.4, None, Phase.GONE),
            (2.5, 1.6, Phase.GONE),
        ],
    )
    def test_goes_through_its_parts(
        self, walked_s: float, left_s: float | None, phase: Phase
    ) -> None:
        """Davi walks up, waits, and goes on or turns away as the gate decides."""
        assert phase == phase_at(DAVI, walked_s, left_s)

    def test_grows_on_the_way_and_stands_still(self) -> None:
        """The face grows from far to near without a step back, then keeps its size."""
        up = [pose_at(DAVI, 0.05 * i).width_px for i in range(30)]
        wait = [pose_at(DAVI, 1.5 + 0.05 * i) for i in range(40)]

        assert up == sorted(up)
        assert up[0] == pytest.approx(34)
        assert {120.0} == {pose.width_px for pose in wait}
        assert all(abs(pose.x - 0.5) < 0.01 for pose in wait)

    @pytest.mark.parametrize("left_s", [None, 2.0])
    def test_ends_out_of_the_picture(self, left_s: float | None) -> None:
        """Through the gate or away, the last frame of a walk no longer shows the face."""
        ends_s = next(t / 100 for t in range(1000) if phase_at(DAVI, t / 100, left_s) is Phase.GONE)

        last = pose_at(DAVI, ends_s - 0.01, left_s)

        half = last.width_px / 640 / 2
        assert last.x - half > 0.97 or last.x + half < 0.03

    def test_follows_keys(self) -> None:
        """A path of one's own is followed steadily and ends with its last key."""
        crossing = Actor(
            name="Elif", photo="e.png", keys=(Key(0, 0.0, 0.4, 40), Key(2, 1.0, 0.4, 60))
        )

        middle, late = pose_at(crossing, 1.0), phase_at(crossing, 2.1, None)

        assert (middle.x, middle.width_px) == pytest.approx((0.5, 50))
        assert Phase.GONE is late

    @given(st.floats(0, 20), st.none() | st.floats(0, 20), st.floats(-0.5, 1.5), st.floats(0.01, 5))
    def test_every_pose_can_be_drawn(
        self, walked_s: float, left_s: float | None, x: float, approach_s: float
    ) -> None:
        """At any moment of any walk the pose is finite and its size within bounds."""
        actor = Actor(name="Femi", photo="f.png", x=x, approach_s=approach_s)

        pose = pose_at(actor, walked_s, left_s)

        numbers = (pose.x, pose.y, pose.width_px, pose.yaw_deg, pose.sway_deg)
        assert all(math.isfinite(number) for number in numbers)
        if pose.phase is not Phase.GONE:
            assert 4 <= pose.width_px <= 181
            assert abs(pose.yaw_deg) <= 31
