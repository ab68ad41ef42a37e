"""A connected city keeps its promises on real processes: `make connected` in small."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.connected import measures
from tests.connected.figures import Figure
from tests.connected.site import Site
from tests.people import portraits
from tests.story.app import Phone


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give two stations, the cloud and the app, all running."""
    site = Site(tmp_path_factory.mktemp("connected"), stations=2)
    try:
        site.start()
        yield site
    finally:
        site.stop()


class TestConnected:
    """Cloud, app and two nodes as processes, a proxy on each line."""

    @pytest.mark.timeout(120)
    def test_gates_learn_and_forget(self, site: Site) -> None:
        """From the app's photo to every gate, and from its withdrawal to none.

        How fast is for `make connected`, on a machine of its own.
        """
        learned, forgot = measures.reach(site, rounds=2)

        print(learned, forgot, sep="\n")
        assert len(learned.values) == len(forgot.values) == 4

    @pytest.mark.timeout(120)
    def test_control_a_frozen_line_learns_nothing(self, site: Site) -> None:
        """The control: where the line is dead the gate does not know the rider, and it shows."""
        near, far = site.gates.values()
        near.line.freeze()
        with contextlib.closing(Phone(site.app_url, "Kim")) as phone:
            phone.sign_up("wallet")
            phone.enroll_face(portraits()["Kim"])
            far.holds(1)
            with pytest.raises(TimeoutError):
                near.holds(1, patience_s=2.0)
            near.line.thaw()
            near.holds(1)
            phone.withdraw()
            near.holds(0)


def test_a_missed_goal_is_told() -> None:
    """A figure says itself that it is too slow."""
    assert "MISSED" in str(Figure("slow", [0.1, 3.0], 2.0))
    assert "met" in str(Figure("fast", [0.1, 1.0], 2.0))
