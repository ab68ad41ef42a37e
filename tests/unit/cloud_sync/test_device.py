"""What each certificate is worth, and what each worth allows: the table of docs/trust.md."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.trust.device import (
    ALLOWED,
    BACKDATED,
    GRACE,
    LIFETIME,
    RENEW_AFTER,
    CertificateState,
    Certified,
    Identity,
    Known,
    Power,
    Route,
    identity_of,
    is_renewal_due,
    route,
    state_of,
)

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
EDGE = Identity("bell-tower", "edge-1")
GOOD = Certified(EDGE, "a1", bytes(32), NOON - BACKDATED, NOON + LIFETIME)
ENROLLED = Known("bell-tower", is_revoked=False, key_owner="edge-1")
SECOND = timedelta(seconds=1)


class TestIdentity:
    """The one name in a certificate."""

    @given(st.text(min_size=1), st.text(min_size=1))
    def test_is_read_as_it_was_written(self, station_id: str, edge_id: str) -> None:
        """Whatever an id holds, the name is ASCII, and means the same two ids again."""
        identity = Identity(station_id, edge_id)
        try:
            uri = identity.uri
        except UnicodeEncodeError:
            return  # half a surrogate pair is not text

        assert uri.isascii()
        assert identity_of(uri) == identity

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "spiffe://gateline/station/bell-tower",
            "spiffe://gateline/station//edge/edge-1",
            "spiffe://gateline/station/bell-tower/edge/",
            "spiffe://gateline/station/bell-tower/edge/edge-1/edge/edge-2",
            "spiffe://elsewhere/station/bell-tower/edge/edge-1",
            "https://gateline/station/bell-tower/edge/edge-1",
            "station/bell-tower/edge/edge-1",
            "spiffe://gateline/station/%62ell-tower/edge/edge-1",  # another spelling of `b`
            "spiffe://gateline/station/bell-tower/edge/edge-1?",
        ],
    )
    def test_nothing_else_is_a_name(self, uri: str) -> None:
        """A name of another trust domain, kind or spelling is nobody's."""
        assert identity_of(uri) is None


class TestState:
    """From what a certificate says and what is known to what it is worth."""

    @pytest.mark.parametrize(
        ("when", "expected"),
        [
            (NOON - BACKDATED - SECOND, CertificateState.NOT_YET_VALID),
            (NOON - BACKDATED, CertificateState.VALID),  # a node whose clock is a little behind
            (NOON + LIFETIME, CertificateState.VALID),  # the last moment is included, as in X.509
            (NOON + LIFETIME + SECOND, CertificateState.EXPIRED),
            (NOON + LIFETIME + GRACE, CertificateState.EXPIRED),
            (NOON + LIFETIME + GRACE + SECOND, CertificateState.LAPSED),
        ],
    )
    def test_time(self, when: datetime, expected: CertificateState) -> None:
        """A certificate begins, ends, has its grace, and is over; each limit to the second."""
        assert state_of(GOOD, ENROLLED, when) is expected

    @pytest.mark.parametrize(
        ("certified", "known", "expected"),
        [
            (replace(GOOD, is_ours=False), ENROLLED, CertificateState.FOREIGN),
            (GOOD, Known(), CertificateState.UNENROLLED),
            (GOOD, replace(ENROLLED, is_revoked=True), CertificateState.REVOKED),
            (GOOD, replace(ENROLLED, station_id="drum-tower"), CertificateState.WRONG_STATION),
            (GOOD, replace(ENROLLED, key_owner="edge-2"), CertificateState.KEY_REUSED),
            # A cloud restored from a backup does not know the newest keys: that is no offence.
            (GOOD, replace(ENROLLED, key_owner=None), CertificateState.VALID),
        ],
    )
    @pytest.mark.parametrize("age", [timedelta(0), LIFETIME + SECOND, LIFETIME + GRACE + SECOND])
    def test_what_is_known_counts_before_time(
        self, certified: Certified, known: Known, expected: CertificateState, age: timedelta
    ) -> None:
        """Revoked stays revoked after expiry: the grace is not a way round the deny set."""
        found = state_of(certified, known, NOON + age)

        if expected is not CertificateState.VALID:
            assert found is expected
        else:
            assert found in (
                CertificateState.VALID,
                CertificateState.EXPIRED,
                CertificateState.LAPSED,
            )

    def test_a_stranger_is_never_told_what_is_revoked(self) -> None:
        """Of a certificate that is not ours nothing is judged but that."""
        bad = Known("drum-tower", is_revoked=True, key_owner="edge-2")

        assert state_of(replace(GOOD, is_ours=False), bad, NOON) is CertificateState.FOREIGN


class TestAllowed:
    """What each state allows."""

    def test_only_a_valid_certificate_gives_the_gallery(self) -> None:
        """No other state ever shows a template to a node."""
        assert [each for each in CertificateState if Power.GALLERY in ALLOWED[each]] == [
            CertificateState.VALID
        ]

    def test_only_valid_and_just_expired_are_renewed(self) -> None:
        """Everybody else needs a person with a token."""
        renewed = [each for each in CertificateState if Power.RENEW in ALLOWED[each]]

        assert renewed == [CertificateState.VALID, CertificateState.EXPIRED]

    def test_the_page_and_the_code_agree(self) -> None:
        """docs/trust.md has exactly the code's table."""
        page = Path(__file__).parents[3] / "docs" / "trust.md"
        rows = [line for line in page.read_text(encoding="utf-8").splitlines() if "| `" in line]
        shown = {}
        for row in rows:
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            shown[cells[0].strip("`")] = (cells[2], cells[3], cells[4])

        def words(allowed: frozenset[Power]) -> tuple[str, str, str]:
            taps = "yes" if Power.TAPS in allowed else "no"
            return (
                "yes" if Power.GALLERY in allowed else "no",
                "into quarantine" if Power.TAPS_ASIDE in allowed else taps,
                "yes" if Power.RENEW in allowed else "no",
            )

        assert shown == {each.value: words(ALLOWED[each]) for each in CertificateState}


class TestNode:
    """What a node does with its own certificate."""

    @pytest.mark.parametrize(
        ("when", "way"),
        [
            (NOON - timedelta(hours=1), Route.GRACE),
            (NOON, Route.MAIN),
            (NOON + LIFETIME, Route.MAIN),
            (NOON + LIFETIME + SECOND, Route.GRACE),
            (NOON + LIFETIME + GRACE + SECOND, Route.NONE),
        ],
    )
    def test_goes_where_it_is_let_in(self, when: datetime, way: Route) -> None:
        """In time to the main port, else to the device port, past the grace nowhere."""
        assert route(GOOD, when) is way

    def test_renews_when_a_day_old(self) -> None:
        """Not in the first day, and from then on at each look."""
        assert not is_renewal_due(GOOD, NOON + RENEW_AFTER - SECOND)
        assert is_renewal_due(GOOD, NOON + RENEW_AFTER)
        assert is_renewal_due(GOOD, NOON + LIFETIME + GRACE)
