"""Two ends that hold the same, and two that do not."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.content import content_hash, key_of
from cloud_sync.gallery import Change, DropKey
from cloud_sync.stream.digest import (
    BUCKETS,
    DIGEST_BYTES,
    UNREADABLE,
    bucket_of,
    differing,
    grouped,
    open_key,
    summed,
)
from tests.templates import deny, put, setting

KEY = bytes(range(32))
VIEW: tuple[Change, ...] = (*(put(f"rider {n}") for n in range(60)), deny("Ana"), setting())
ITEMS = [(key_of(change), content_hash(change)) for change in VIEW]


class TestDigest:
    """Sums and differences."""

    @given(st.randoms())
    def test_does_not_depend_on_order(self, chance: st.DataObject) -> None:
        """The same items in any order give the same 4,096 bytes."""
        shuffled = list(ITEMS)
        chance.shuffle(shuffled)  # type: ignore[attr-defined]

        assert summed(shuffled, KEY) == summed(ITEMS, KEY)
        assert len(summed(ITEMS, KEY)) == DIGEST_BYTES

    @given(place=st.integers(0, len(ITEMS) - 1), kind=st.sampled_from(["gone", "other", "unread"]))
    def test_shows_one_difference_in_its_own_bucket(self, place: int, kind: str) -> None:
        """An item that is missing, changed or unreadable shows where it belongs, and only there."""
        key, digest = ITEMS[place]
        changed = [(key, UNREADABLE if kind == "unread" else digest[::-1])]
        other = [*ITEMS[:place], *(changed if kind != "gone" else ()), *ITEMS[place + 1 :]]

        assert differing(summed(ITEMS, KEY), summed(other, KEY)) == (bucket_of(key),)

    def test_two_items_cannot_cancel_out_without_the_key(self) -> None:
        """The same difference reads otherwise under another key: nobody can prepare for it."""
        left, right = summed(ITEMS, KEY), summed(ITEMS, KEY[::-1])

        assert len(differing(left, right)) > 30
        assert open_key("bell-tower", UUID(int=1)) != open_key("bell-tower", UUID(int=2))

    def test_what_is_no_digest_differs_everywhere(self) -> None:
        """A digest of another length is not compared: all is sent anew."""
        assert len(differing(summed(ITEMS, KEY), b"short")) == BUCKETS

    def test_a_key_below_256_has_a_bucket(self) -> None:
        """Every kind of item has its place."""
        assert bucket_of(key_of(DropKey(5))) == 0


class TestGrouped:
    """Buckets that travel together."""

    def test_keeps_to_the_limit(self) -> None:
        """Groups are filled in order up to the limit, and a large bucket goes alone."""
        sizes = [(1, 400), (2, 600), (3, 1), (9, 5_000), (10, 10)]

        assert grouped(sizes, limit=1_000) == ((1, 2), (3,), (9,), (10,))
        assert grouped([], limit=1_000) == ()
