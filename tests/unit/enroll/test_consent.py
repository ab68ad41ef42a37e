"""What consents allow."""

from datetime import datetime
from itertools import combinations
from uuid import UUID

import pytest

from enroll.consent import TEXTS, ConsentRecord, Permissions, Purpose, permissions, standing

ADA = UUID(int=1)
NOTHING = Permissions(collect=False, store=False, send=False, charge=False, keep_photos=False)
EVERYTHING = Permissions(collect=True, store=True, send=True, charge=True, keep_photos=True)


def record(
    purpose: Purpose, noon: datetime, *, given: bool = True, version: int | None = None
) -> ConsentRecord:
    """Give one choice, on the text in force."""
    shown = TEXTS[purpose].version if version is None else version
    return ConsentRecord(ADA, purpose, given, shown, noon)


def of(noon: datetime, *purposes: Purpose, minor: bool = False) -> Permissions:
    """Give what the purposes allow when consented to."""
    return permissions([record(purpose, noon) for purpose in purposes], minor=minor)


class TestStanding:
    """The last word of each purpose counts."""

    def test_last_record_decides(self, noon: datetime) -> None:
        """A consent that was withdrawn and given again stands; the other way round it does not."""
        on, off = record(Purpose.SEND, noon), record(Purpose.SEND, noon, given=False)

        assert standing([on, off, on]) == {Purpose.SEND}
        assert standing([off, on, off]) == frozenset()

    def test_outdated_text_does_not_stand(self, noon: datetime) -> None:
        """A choice on a text older than the oldest valid one does not count."""
        old = TEXTS[Purpose.SEND].oldest_valid - 1

        assert standing([record(Purpose.SEND, noon, version=old)]) == frozenset()

    def test_every_purpose_has_its_text(self) -> None:
        """Each purpose explains itself, what is missing without it, and what withdrawing does."""
        assert set(TEXTS) == set(Purpose)
        for text in TEXTS.values():
            assert all((text.title, text.explains, text.without, text.on_withdrawal))
            assert 1 <= text.oldest_valid <= text.version


class TestPermissions:
    """What may be done."""

    def test_nothing_by_default(self, noon: datetime) -> None:
        """A new rider has allowed nothing."""
        assert of(noon) == NOTHING

    def test_all_choices(self, noon: datetime) -> None:
        """With every choice on, everything is allowed."""
        assert of(noon, *Purpose) == EVERYTHING

    @pytest.mark.parametrize(
        ("missing", "lost"),
        [
            (Purpose.COLLECT, {"collect", "store", "send", "keep_photos"}),
            (Purpose.STORE, {"store", "send", "keep_photos"}),
            (Purpose.SEND, {"send"}),
            # A face that opens a gate makes a ride to charge.
            (Purpose.PAY, {"send", "charge"}),
            (Purpose.KEEP_PHOTOS, {"keep_photos"}),
        ],
    )
    def test_one_choice_missing(self, missing: Purpose, lost: set[str], noon: datetime) -> None:
        """Each permission falls with its own consent and with those it builds on, and no other."""
        allowed = of(noon, *(purpose for purpose in Purpose if purpose is not missing))

        assert {name for name in Permissions.__slots__ if not getattr(allowed, name)} == lost

    def test_code_needs_pay_alone(self, noon: datetime) -> None:
        """Riding by code asks for no consent about the face."""
        assert of(noon, Purpose.PAY).charge

    @pytest.mark.parametrize("count", range(len(Purpose)))
    def test_minor_without_guardian(self, count: int, noon: datetime) -> None:
        """Under 14 nothing is allowed without the guardian, whatever else is consented to."""
        others = [purpose for purpose in Purpose if purpose is not Purpose.GUARDIAN]
        for some in combinations(others, count):
            assert of(noon, *some, minor=True) == NOTHING

    def test_minor_with_guardian(self, noon: datetime) -> None:
        """With the guardian's consent a minor has the same choices."""
        assert of(noon, *Purpose, minor=True) == EVERYTHING
