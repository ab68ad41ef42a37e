"""The steps of a change of the model, and what stands in the way of each."""

from dataclasses import replace

import pytest

from cloud_sync.master.model_change import (
    ModelState,
    NotNow,
    Phase,
    Progress,
    begun,
    ended,
    finishing,
    rolling_back,
)
from cloud_sync.view_id import followed, is_next, next_view, station_of
from tests.fleet import NOON

OLD, NEW = "a@0", "b@1"
FRESH = ModelState()
RUNNING = ModelState(OLD, NEW, Phase.RUNNING, NOON)
READY = Progress((), 0)


class TestBegin:
    """From one model to two."""

    def test_learns_the_model_in_force_from_the_views(self) -> None:
        """The first change finds the old model at the stations; the same again changes nothing."""
        state = begun(FRESH, NEW, frozenset({OLD}), NOON)

        assert state == RUNNING
        assert begun(state, NEW, frozenset({OLD}), NOON) == state

    @pytest.mark.parametrize(
        ("before", "model_id", "held"),
        [
            (FRESH, NEW, frozenset()),
            (FRESH, OLD, frozenset({OLD})),
            (FRESH, "", frozenset({OLD})),
            (FRESH, "a|next", frozenset({OLD})),
            (FRESH, NEW, frozenset({OLD, "c@2"})),
            (RUNNING, "c@2", frozenset({OLD})),
            (replace(RUNNING, phase=Phase.FINISHING), NEW, frozenset({OLD})),
            (replace(RUNNING, phase=Phase.ROLLING_BACK), NEW, frozenset({OLD})),
        ],
    )
    def test_refuses_what_is_no_change(
        self, before: ModelState, model_id: str, held: frozenset[str]
    ) -> None:
        """Nothing to change, no model, several models, or another change under way."""
        with pytest.raises(NotNow):
            begun(before, model_id, held, NOON)


class TestEnd:
    """From two models to one."""

    def test_finish_waits_for_nodes_and_for_photos(self) -> None:
        """A node of the old model holds it up whatever an operator says; photos can be given up."""
        with pytest.raises(NotNow, match="edge-1"):
            finishing(RUNNING, Progress(("edge-1",), 0), is_forced=True)
        with pytest.raises(NotNow, match="3 riders"):
            finishing(RUNNING, Progress((), 3))

        assert finishing(RUNNING, Progress((), 3), is_forced=True).phase is Phase.FINISHING

    def test_each_end_goes_on_and_excludes_the_other(self) -> None:
        """Cut anywhere, the same step goes on; the other one is too late."""
        going, back = finishing(RUNNING, READY), rolling_back(RUNNING)

        assert finishing(going, Progress(("edge-1",), 9)) == going
        assert rolling_back(back) == back
        with pytest.raises(NotNow, match="has begun to go"):
            rolling_back(going)
        with pytest.raises(NotNow):
            finishing(back, READY)
        assert (ended(going), ended(back)) == (ModelState(NEW), ModelState(OLD))

    @pytest.mark.parametrize("state", [FRESH, ModelState(OLD)])
    def test_without_a_change_nothing_ends(self, state: ModelState) -> None:
        """There is neither a finish nor a rollback."""
        with pytest.raises(NotNow):
            finishing(state, READY)
        with pytest.raises(NotNow):
            rolling_back(state)

    def test_the_model_that_stays_is_trusted(self) -> None:
        """New photos are taken by the old model until it goes."""
        going, back = finishing(RUNNING, READY), rolling_back(RUNNING)

        assert [each.trusted for each in (FRESH, RUNNING, going, back)] == ["", OLD, NEW, OLD]


def test_a_node_follows_the_view_of_its_model() -> None:
    """Only a node of the coming model follows the second view; any other is at the first."""
    coming = next_view("bell")
    models = {"bell": OLD, coming: NEW}

    assert [followed("bell", models, each) for each in (OLD, NEW, "c@2")] == [
        "bell",
        coming,
        "bell",
    ]
    assert followed("bell", {"bell": OLD}, NEW) == "bell"
    assert (station_of(coming), station_of("bell")) == ("bell", "bell")
    assert is_next(coming)
    assert not is_next("bell")
