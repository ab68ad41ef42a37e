"""Ride codes as a gate sees them."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from edge_gate import ride_code
from edge_gate.reason import DenyReason
from edge_gate.ride_code import KeyRing, RideCodeConfig
from enroll.adapters.memory import MemoryRiderStore
from enroll.code import CodeConfig, NoCode, RideCode, issue, make_key, published
from enroll.consent import Purpose
from enroll.rider import RiderEvent
from enroll.store import Dossier
from tests.riders import Office

CONFIG = CodeConfig()
GATE = RideCodeConfig()


@pytest.fixture
def office() -> Office:
    """Give use cases in memory."""
    return Office(MemoryRiderStore())


def code_of(dossier: Dossier, now: datetime) -> RideCode | NoCode:
    """Issue with a fixed key."""
    key = make_key(1, bytes(range(32)), now)
    return issue(dossier, key, nonce=bytes(16), now=now, config=CONFIG)


class TestIssue:
    """Who gets one, and for how long."""

    def test_gate_takes_it_for_its_validity(self, office: Office, noon: datetime) -> None:
        """A gate that has the published key takes the code until it expires, and not after."""
        ada = office.sign_up("Ada", Purpose.PAY)
        code = code_of(office.dossier(ada), noon)
        assert isinstance(code, RideCode)
        ring = KeyRing([published(make_key(1, bytes(range(32)), noon))])
        late = code.expires + timedelta(seconds=GATE.skew_s + 1)

        now = ride_code.verify(code.payload, ring, code.expires, GATE)
        after = ride_code.verify(code.payload, ring, late, GATE)

        assert isinstance(now, ride_code.Accepted)
        assert now.rider_ref == ada
        assert after == ride_code.Refused(DenyReason.CODE_EXPIRED)

    def test_other_issuer_is_foreign(self, office: Office, noon: datetime) -> None:
        """A gate that trusts another key of the same number takes the code for forged."""
        code = code_of(office.dossier(office.sign_up("Ada", Purpose.PAY)), noon)
        assert isinstance(code, RideCode)
        ring = KeyRing([published(make_key(1, b"\x07" * 32, noon))])

        found = ride_code.verify(code.payload, ring, noon, GATE)

        assert found == ride_code.Refused(DenyReason.CODE_FORGED)

    def test_paused_face_keeps_the_code(self, office: Office, noon: datetime) -> None:
        """Pausing the face leaves the other way in open."""
        ada = office.sign_up("Ada", Purpose.PAY)
        office.enrollment.move(ada, RiderEvent.PAUSE, now=noon)

        assert isinstance(code_of(office.dossier(ada), noon), RideCode)

    def test_no_code_without_pay(self, office: Office, noon: datetime) -> None:
        """Who does not agree to be charged gets no code."""
        assert isinstance(code_of(office.dossier(office.sign_up("Ada")), noon), NoCode)

    def test_no_code_once_withdrawn(self, office: Office, noon: datetime) -> None:
        """A withdrawn rider gets no code, although the consent to pay was never withdrawn."""
        ada = office.sign_up("Ada", Purpose.PAY)
        office.enrollment.move(ada, RiderEvent.WITHDRAW, now=noon)

        assert isinstance(code_of(office.dossier(ada), noon), NoCode)

    def test_minor_without_guardian(self, office: Office, noon: datetime) -> None:
        """Under 14 there is no code without the guardian, even with a consent to pay on record."""
        ada = office.sign_up("Ada", Purpose.PAY)
        dossier = office.dossier(ada)
        minor = replace(dossier, rider=replace(dossier.rider, minor=True))

        assert isinstance(code_of(minor, noon), NoCode)


class TestSecrets:
    """What must not be printed."""

    def test_not_in_words(self, noon: datetime) -> None:
        """Neither the issuer's seed nor a code's payload is in what Python prints of them."""
        key = make_key(1, bytes(range(32)), noon)
        code = RideCode(b"payload bytes", noon, noon)

        assert repr(key) == "IssuerSecret(key_id=1)"
        assert "payload" not in repr(code)

    def test_config_ranges(self) -> None:
        """A code that outlives the gate's limit, or is fetched after its end, is refused."""
        for wrong in ({"validity_s": 121}, {"refresh_s": 61}, {"refresh_s": 0}):
            with pytest.raises(ValueError):
                CodeConfig(**wrong)
