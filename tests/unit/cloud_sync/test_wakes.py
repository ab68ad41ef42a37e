"""Who is woken when a view changes."""

from cloud_sync.adapters.postgres.wakes import Wakes


class TestWakes:
    """`Wakes`."""

    def test_only_the_stations_own_streams_are_woken(self) -> None:
        """A change of one view leaves the other streams asleep, and who has left is not called."""
        wakes, heard = Wakes(), list[str]()
        with wakes.subscribed("bei", lambda: heard.append("bei")):
            with wakes.subscribed("zhong", lambda: heard.append("zhong")):
                wakes.wake("bei")
            wakes.wake("zhong")
            wakes.wake_all()

        wakes.wake_all()
        assert heard == ["bei", "bei"]

    def test_stations_that_were_left_are_forgotten(self) -> None:
        """Strangers who name a thousand stations that do not exist leave nothing behind."""
        wakes = Wakes()
        for number in range(1_000):
            with wakes.subscribed(f"nowhere-{number}", lambda: None):
                pass

        assert wakes.stations == frozenset()
