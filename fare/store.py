"""One transaction over everything that fare stores: all of it is kept, or none of it."""

from contextlib import AbstractContextManager
from typing import Protocol

from fare.account import Accounts
from fare.charge import Charges
from fare.decision import Decisions
from fare.feed import Taps
from fare.ledger import Ledger


class StoreFailed(Exception):
    """The store could not do it, or could not say that it did; nothing may be assumed."""


class Transaction(Protocol):
    """The parts of the store, joined in one transaction."""

    @property
    def taps(self) -> Taps:
        """Taps and cursor."""
        ...

    @property
    def accounts(self) -> Accounts:
        """Payer accounts, also the lock on everything of one rider."""
        ...

    @property
    def decisions(self) -> Decisions:
        """Fare decisions."""
        ...

    @property
    def charges(self) -> Charges:
        """Movements of money."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Entries."""
        ...


class Store(Protocol):
    """Gives transactions."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a transaction: committed where the block ends well, undone where it raises.

        Whoever locks riders locks them in the order of their `rider_ref`, and before charges.

        Raises:
            StoreFailed: The database is gone; on leaving the block, it may have committed.
        """
        ...
