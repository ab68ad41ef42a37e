"""The worker's steps, scene by scene."""

import logging
from uuid import UUID

import pytest

from fare.account import BankCard, Wallet
from fare.adapters.memory import MemoryStore
from fare.charge import ChargeRules, State
from fare.money import Money
from fare.payment import Declined, NotFound, Paid, Unknown
from fare.tap import Medium
from fare.work import WorkRules, ask_one, resolve, send_one
from tests.purse import Rig, ride, rider, tap

ADA = rider("Ada")


def rig_with(token: str) -> Rig:
    """Give a rig where Ada pays by a card."""
    rig = Rig(MemoryStore())
    rig.pays_by(ADA, BankCard(token))
    return rig


def states(rig: Rig) -> list[str]:
    """Return the states of Ada's charges."""
    with rig.store.transaction() as tx:
        return [charge.state.value for charge in tx.charges.of_rider(ADA)]


class TestTakeIn:
    """Taps to books."""

    @pytest.mark.parametrize("way_in", list(Medium))
    @pytest.mark.parametrize("way_out", list(Medium))
    def test_any_pair_of_media_is_one_charge(self, way_in: Medium, way_out: Medium) -> None:
        """In and out by face or code, in all four combinations, is one trip and one charge."""
        rig = rig_with("tok_yes")
        rig.hears(tap(ADA, "zhonglou", "entry", 0, medium=way_in))
        rig.hears(tap(ADA, "xiaozhai", "exit", 20, medium=way_out))

        rig.rest()

        assert [m.amount for m in rig.moved("tok_yes")] == [Money(200)]

    def test_face_and_code_at_one_lane_are_one_charge(self) -> None:
        """Ada shows face and code at the exit within seconds and is charged once."""
        rig = rig_with("tok_yes")
        rig.hears(*ride(ADA, "zhonglou", "xiaozhai"))
        rig.hears(tap(ADA, "xiaozhai", "exit", 25.05, medium="code"))

        rig.rest()

        assert len(rig.moved("tok_yes")) == 1

    def test_late_entry_prices_the_trip(self) -> None:
        """An exit whose entry comes hours later costs nothing at first, then its fare."""
        rig = rig_with("tok_yes")
        entry, out = ride(ADA, "zhonglou", "xiaozhai")
        rig.hears(out)
        rig.rest()
        assert rig.moved("tok_yes") == []

        rig.hears(entry)
        rig.rest()

        assert rig.net("tok_yes") == rig.fares(ADA) == 200

    def test_reads_in_batches(self) -> None:
        """A log longer than a batch is read to its end."""
        rig = Rig(MemoryStore(), rules=WorkRules(batch=2))
        rig.pays_by(ADA, BankCard("tok_yes"))
        for hour in range(5):
            rig.hears(*ride(ADA, "zhonglou", "xiaozhai", 60 * hour))

        rig.rest()

        assert len(rig.moved("tok_yes")) == 5


class TestUnknown:
    """A bank that does not answer."""

    def test_charged_in_silence_is_found_out_by_query(self) -> None:
        """A charge without answer is UNKNOWN, and PAID once the bank is asked; taken once."""
        rig = rig_with("tok_charged_silent")
        rig.hears(*ride(ADA, "zhonglou", "xiaozhai"))
        rig.read()
        send_one(rig.store, rig.bank, rig.clock, rig.rules.charge)
        assert states(rig) == ["unknown"]
        assert rig.owed(ADA) == 200  # not booked before it is known

        assert not ask_one(rig.store, rig.bank, rig.clock, rig.rules.charge)  # not due yet
        assert not send_one(rig.store, rig.bank, rig.clock, rig.rules.charge)
        rig.clock.pass_by(5)
        assert ask_one(rig.store, rig.bank, rig.clock, rig.rules.charge)

        assert states(rig) == ["paid"]
        assert rig.owed(ADA) == 0
        assert len(rig.moved("tok_charged_silent")) == 1

    def test_silence_without_end(self) -> None:
        """A bank that never sees the charge gets it a few times under one id, then staff look."""
        rig = rig_with("tok_silent")
        rig.hears(*ride(ADA, "zhonglou", "xiaozhai"))

        rig.rest()

        with rig.store.transaction() as tx:
            (charge,) = tx.charges.of_rider(ADA)
        assert (charge.state, charge.sends) == (State.UNKNOWN, ChargeRules().sends_max)
        assert rig.owed(ADA) == 200

    def test_bank_that_contradicts_itself(self, caplog: pytest.LogCaptureFixture) -> None:
        """A refusal after PAID changes nothing and is told to the operator."""
        rig = rig_with("tok_yes")
        rig.hears(*ride(ADA, "zhonglou", "xiaozhai"))
        rig.rest()
        with rig.store.transaction() as tx:
            (paid,) = tx.charges.of_rider(ADA)

        with caplog.at_level(logging.ERROR), rig.store.transaction() as tx:
            resolve(tx, paid, Declined("sorry"), rig.clock(), rig.rules.charge)

        assert states(rig) == ["paid"]
        assert "bank_contradicts" in caplog.text

    @pytest.mark.parametrize("said", [Paid(), NotFound(), Unknown("late")])
    def test_old_news_changes_nothing(self, said: Paid | NotFound | Unknown) -> None:
        """An answer that comes again after the end books nothing twice."""
        rig = rig_with("tok_yes")
        rig.hears(*ride(ADA, "zhonglou", "xiaozhai"))
        rig.read()
        with rig.store.transaction() as tx:
            (claimed,) = tx.charges.of_rider(ADA)
        rig.rest()

        with rig.store.transaction() as tx:
            resolve(tx, claimed, said, rig.clock(), rig.rules.charge)

        assert states(rig) == ["paid"]
        assert rig.clearing() == 200


class TestDebts:
    """What is not paid at first."""

    def test_new_card_pays(self) -> None:
        """Ada's refused ride is paid when she gives another card, and only then."""
        rig = rig_with("tok_no")
        rig.hears(*ride(ADA, "zhonglou", "xiaozhai"))
        rig.rest()
        assert (rig.owed(ADA), states(rig)) == (200, ["declined"])

        rig.pays_by(ADA, BankCard("tok_yes"))
        rig.rest()

        assert (rig.owed(ADA), states(rig)) == (0, ["declined", "paid"])

    def test_top_up_pays(self) -> None:
        """A wallet that did not reach pays the rest when it is filled."""
        rig = Rig(MemoryStore())
        rig.hears(*ride(ADA, "zhonglou", "xiaozhai"))
        rig.rest()
        assert rig.owed(ADA) == 200

        rig.fills(ADA, 500)
        rig.rest()

        assert (rig.owed(ADA), rig.purse(ADA)) == (0, 300)

    def test_wallet_after_card(self) -> None:
        """A ride paid by card and later voided goes back to the card after a change to wallet."""
        rig = rig_with("tok_yes")
        entry, out = ride(ADA, "houweizhai", "fangzhicheng")
        rig.hears(entry, out)
        rig.rest()
        rig.pays_by(ADA, Wallet())
        rig.hears(tap(ADA, "banpo", "entry", 20))  # she entered again: the ride was shorter

        rig.rest()

        assert rig.net("tok_yes") == rig.fares(ADA) == 200
        assert rig.purse(ADA) == 0


class TestClock:
    """Time is an argument."""

    def test_orphaned_sending_is_asked_about(self) -> None:
        """A charge left in SENT by a death is asked about when its lease is over, not before."""
        rig = rig_with("tok_yes")
        rig.hears(*ride(ADA, "zhonglou", "xiaozhai"))
        rig.read()
        with pytest.raises(KeyboardInterrupt):
            send_one(rig.store, _Dead(), rig.clock, rig.rules.charge)
        assert states(rig) == ["sent"]

        rig.clock.pass_by(29)
        assert not ask_one(rig.store, rig.bank, rig.clock, rig.rules.charge)
        rig.clock.pass_by(1)
        assert ask_one(rig.store, rig.bank, rig.clock, rig.rules.charge)
        rig.rest()

        assert states(rig) == ["paid"]
        assert len(rig.moved("tok_yes")) == 1


class _Dead:
    """A bank during whose call the process dies."""

    def charge(self, charge_id: UUID, token: str, amount: Money) -> Paid | Declined | Unknown:
        """Die."""
        raise KeyboardInterrupt

    def refund(self, refund_id: UUID, charge_id: UUID, amount: Money) -> Paid | Declined | Unknown:
        """Die."""
        raise KeyboardInterrupt

    def query(self, movement_id: UUID) -> Paid | Declined | NotFound | Unknown:
        """Die."""
        raise KeyboardInterrupt


class TestRules:
    """Settings."""

    @pytest.mark.parametrize("batch", [0, 10_001])
    def test_refuses_batches_out_of_range(self, batch: int) -> None:
        """A transaction takes 1 to 10,000 taps."""
        with pytest.raises(ValueError):
            WorkRules(batch=batch)
