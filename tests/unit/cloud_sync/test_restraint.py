"""Log and audit take a few lines of everything, and the number of the others."""

from cloud_sync.master.presence import Allowance
from cloud_sync.restraint import Restraint, RestraintConfig
from cloud_sync.trust.registry import What

HOUR_S = 3_600


class TestRestraint:
    """A flood."""

    def test_of_one_source_hides_nobody_else(self) -> None:
        """Ten lines at once and one a minute are told of a source, and others are heard still."""
        restraint = Restraint()
        flood = [restraint.admits(What.TOKEN_REFUSED, "ipv4:1", n / 100) for n in range(6_000)]

        assert sum(flood) == 10
        assert all(flood[:10])
        assert restraint.admits(What.TOKEN_REFUSED, "ipv4:2", 60.0)
        assert restraint.admits(What.IMPERSONATION, "ipv4:1", 60.0)
        assert restraint.admits(What.TOKEN_REFUSED, "ipv4:1", 61.0)
        assert not restraint.admits(What.TOKEN_REFUSED, "ipv4:1", 61.0)

    def test_of_many_sources_is_bounded(self) -> None:
        """A botnet gets a hundred lines and then one a second, and the memory stays small."""
        restraint = Restraint(RestraintConfig(sources_max=50))
        told = sum(
            restraint.admits(What.TOKEN_REFUSED, f"ipv4:{n}", n / 100) for n in range(100 * 60)
        )

        assert 100 <= told <= 161
        assert len(restraint._each) == 50
        assert restraint.admits(What.REFUSED, "edge-1", 60.0)  # each kind by itself

    def test_tells_how_many_were_left_out(self) -> None:
        """Every line is either written or counted, and the counts come once a minute."""
        one = RestraintConfig(each=Allowance(0.0, 1.0, 1.0))
        restraint = Restraint(one)
        assert restraint.left_out(0.0) == ""
        kinds = [What.REFUSED] * 4 + [What.TOKEN_REFUSED] * 3
        assert sum(restraint.admits(what, "edge-1", 0.0) for what in kinds) == 2

        assert restraint.left_out(0.0) == "3 x refused, 2 x token_refused"
        assert restraint.left_out(HOUR_S) == ""
        restraint.admits(What.REFUSED, "edge-1", HOUR_S)
        assert restraint.left_out(59.9) == ""
        assert restraint.left_out(HOUR_S) == "1 x refused"

    def test_leaves_out_no_node_that_joined(self) -> None:
        """A thousand nodes that enroll or renew at once all stand in the audit."""
        restraint = Restraint()
        for what in (What.ENROLLED, What.RENEWED):
            assert all(restraint.admits(what, f"edge-{n}", 0.0) for n in range(1_000))
        assert all(restraint.admits(What.ENROLLED, "edge-1", 0.0) for _ in range(1_000))
        renewals = [restraint.admits(What.RENEWED, "edge-1", 0.0) for _ in range(1_000)]
        assert sum(renewals) == 9  # control: one node alone is bounded
