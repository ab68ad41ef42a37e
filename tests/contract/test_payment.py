"""What every payment gateway promises: at most once per id, and silence told as Unknown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from fare.adapters.bank import BankBook, BankConfig, MovementConflict, create_app
from fare.adapters.gateway import HttpGateway
from fare.adapters.memory_bank import MemoryBank
from fare.adapters.script import Movement
from fare.charge import Kind
from fare.money import Money
from fare.payment import Declined, NotFound, Paid, PaymentGateway, Unknown
from tests.served import served

ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)
FARE = Money(600)


@dataclass(frozen=True)
class Bank:
    """A gateway, and what the bank behind it really moved."""

    gateway: PaymentGateway
    book: Callable[[], list[Movement]]

    def moved(self) -> list[tuple[Kind, int]]:
        """Return the movements of money, oldest first."""
        return [(m.kind, m.amount.minor_units) for m in self.book() if m.paid]


@pytest.fixture(params=["memory", "http"])
def bank(request: pytest.FixtureRequest) -> Iterator[Bank]:
    """Give each gateway before a bank of its own."""
    if request.param == "memory":
        memory = MemoryBank()
        yield Bank(memory, lambda: list(memory.statement()))
        return
    book = BankBook(request.getfixturevalue("tmp_path") / "bank.sqlite")
    app = create_app(book, BankConfig(silence_s=2.0, slow_s=0.05))
    with served(app) as url:
        gateway = HttpGateway(url, timeout_s=1.0)
        yield Bank(gateway, book.statement)
        gateway.close()
    book.close()


class TestGateway:
    """The contract."""

    @pytest.mark.parametrize("token", ["tok_yes", "tok_yes-ada", "tok_slow"])
    def test_takes_once(self, bank: Bank, token: str) -> None:
        """A charge that comes three times is answered three times and taken once."""
        said = [bank.gateway.charge(ONE, token, FARE) for _ in range(3)]

        assert said == [Paid()] * 3
        assert bank.gateway.query(ONE) == Paid()
        assert bank.moved() == [(Kind.CAPTURE, 600)]

    @pytest.mark.parametrize("token", ["tok_no", "tok_nobody_knows"])
    def test_declines(self, bank: Bank, token: str) -> None:
        """A card that refuses, or that nobody knows, is declined for good; nothing is taken."""
        said = bank.gateway.charge(ONE, token, FARE)

        assert said == Declined("card declined")
        assert bank.gateway.query(ONE) == said
        assert bank.moved() == []

    def test_silence_without_a_charge(self, bank: Bank) -> None:
        """A silent card is Unknown, takes nothing, and the bank has never seen the id."""
        assert isinstance(bank.gateway.charge(ONE, "tok_silent", FARE), Unknown)

        assert bank.gateway.query(ONE) == NotFound()
        assert bank.moved() == []

    def test_silence_after_a_charge(self, bank: Bank) -> None:
        """A card that is charged in silence is Unknown, and the query tells that it was paid."""
        assert isinstance(bank.gateway.charge(ONE, "tok_charged_silent", FARE), Unknown)

        assert bank.gateway.query(ONE) == Paid()
        assert bank.moved() == [(Kind.CAPTURE, 600)]

    def test_never_seen(self, bank: Bank) -> None:
        """An id that never came is NotFound."""
        assert bank.gateway.query(TWO) == NotFound()

    def test_one_id_for_two_things(self, bank: Bank) -> None:
        """An id that comes again for another amount or card takes nothing more."""
        bank.gateway.charge(ONE, "tok_yes", FARE)

        assert isinstance(bank.gateway.charge(ONE, "tok_yes", Money(700)), Unknown)
        assert isinstance(bank.gateway.charge(ONE, "tok_yes-other", FARE), Unknown)
        assert bank.moved() == [(Kind.CAPTURE, 600)]

    def test_gives_back_once(self, bank: Bank) -> None:
        """A refund of everything that comes twice is answered twice and goes back once."""
        bank.gateway.charge(ONE, "tok_yes", FARE)

        assert [bank.gateway.refund(TWO, ONE, FARE) for _ in range(2)] == [Paid()] * 2
        assert bank.gateway.query(TWO) == Paid()
        assert bank.moved() == [(Kind.CAPTURE, 600), (Kind.REFUND, 600)]

    def test_gives_back_no_more_than_it_took(self, bank: Bank) -> None:
        """Refunds of one capture together do not exceed it."""
        bank.gateway.charge(ONE, "tok_yes", FARE)
        bank.gateway.refund(TWO, ONE, Money(500))

        assert bank.gateway.refund(THREE, ONE, Money(101)) == Declined("more than was taken")
        assert bank.moved() == [(Kind.CAPTURE, 600), (Kind.REFUND, 500)]

    def test_gives_nothing_back_for_nothing(self, bank: Bank) -> None:
        """A refund of a capture that failed, or never was, is declined."""
        bank.gateway.charge(ONE, "tok_no", FARE)

        assert bank.gateway.refund(TWO, ONE, FARE) == Declined("no such capture")
        assert bank.gateway.refund(THREE, UUID(int=9), FARE) == Declined("no such capture")
        assert bank.moved() == []


class TestHttp:
    """Answers that are none."""

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(500),
            httpx.Response(503, json={"outcome": "paid"}),
            httpx.Response(200),  # empty
            httpx.Response(200, text="<html>proxy</html>"),
            httpx.Response(200, json=["paid"]),
            httpx.Response(200, json={"outcome": "perhaps"}),
            httpx.Response(302, headers={"location": "/elsewhere"}),
            httpx.Response(404, text="no such page"),  # a proxy's: it must not look like NotFound
            httpx.Response(429),
        ],
    )
    def test_unclear_answers_are_unknown(self, answer: httpx.Response) -> None:
        """Whatever is not a clear answer, also to a query, leaves the charge unknown."""
        gateway = HttpGateway("http://bank.test", transport=httpx.MockTransport(lambda _: answer))

        assert isinstance(gateway.charge(ONE, "tok_yes", FARE), Unknown)
        assert isinstance(gateway.query(ONE), Unknown)

    def test_no_bank_at_all(self) -> None:
        """A bank that does not listen is Unknown too: nobody can say what it knows."""
        gateway = HttpGateway("http://127.0.0.1:9", timeout_s=0.5)

        assert isinstance(gateway.charge(ONE, "tok_yes", FARE), Unknown)
        assert isinstance(gateway.query(ONE), Unknown)


class TestBook:
    """The bank's memory."""

    def test_survives_the_process(self, tmp_path: Path) -> None:
        """What was taken is in the book when it is opened again, and is not taken again."""
        wanted = Movement(ONE, Kind.CAPTURE, "tok_yes", None, FARE, paid=False, reason="")
        book = BankBook(tmp_path / "bank.sqlite")
        taken = book.book(wanted)
        book.close()

        again = BankBook(tmp_path / "bank.sqlite")

        assert again.statement() == [taken]
        assert again.book(wanted) == taken
        assert again.statement() == [taken]
        again.close()

    def test_refuses_a_reused_id(self, tmp_path: Path) -> None:
        """An id used for a charge cannot become a refund."""
        book = BankBook(tmp_path / "bank.sqlite")
        book.book(Movement(ONE, Kind.CAPTURE, "tok_yes", None, FARE, paid=False, reason=""))

        with pytest.raises(MovementConflict):
            book.book(Movement(ONE, Kind.REFUND, "", ONE, FARE, paid=False, reason=""))
        book.close()
