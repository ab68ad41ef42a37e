"""Every way to spoil a ride code has its own refusal."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.gallery import IssuerKey
from edge_gate.reason import DenyReason
from edge_gate.ride_code import (
    CODE_BYTES,
    HEAD,
    Accepted,
    KeyRing,
    Refused,
    ReplayGuard,
    RideCodeConfig,
    issue,
    verify,
)

ISSUER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
KEY_ID = 7
LI_NA = UUID("0a000000-0000-4000-8000-00000000beef")
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
CONFIG = RideCodeConfig(skew_s=5, validity_s_max=120)


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


KEYS = KeyRing([IssuerKey(KEY_ID, _public(ISSUER))])


def _code(
    *,
    key: Ed25519PrivateKey = ISSUER,
    key_id: int = KEY_ID,
    issued_at: datetime = NOW,
    validity_s: int = 60,
    nonce: bytes = b"nonce-of-16-byte",
) -> bytes:
    return issue(
        key,
        key_id=key_id,
        rider_ref=LI_NA,
        issued_at=issued_at,
        validity_s=validity_s,
        nonce=nonce,
    )


def _verdict(payload: bytes, *, after_s: float = 0, keys: KeyRing = KEYS) -> Accepted | DenyReason:
    found = verify(payload, keys, NOW + timedelta(seconds=after_s), CONFIG)
    return found.reason if isinstance(found, Refused) else found


class TestIssue:
    """Making codes."""

    def test_is_compact(self) -> None:
        """A code has 106 bytes, what a version 6 symbol holds at error correction M."""
        assert len(_code()) == CODE_BYTES == 106

    @pytest.mark.parametrize(
        "wrong",
        [
            {"nonce": b"short"},
            {"issued_at": datetime(2026, 5, 4, 12)},  # noqa: DTZ001  # the wrong thing itself
            {"validity_s": 0},
            {"validity_s": 256},
            {"key_id": 65_536},
            {"issued_at": datetime(1969, 1, 1, tzinfo=UTC)},
        ],
    )
    def test_refuses_what_does_not_fit(self, wrong: dict[str, object]) -> None:
        """A value that the format cannot hold is an error at the issuer, not a wrong code."""
        with pytest.raises(ValueError):
            _code(**wrong)  # type: ignore[arg-type]


class TestVerify:
    """Judging codes."""

    def test_accepts_a_fresh_code(self) -> None:
        """A genuine code of this minute names its rider, and its id carries key and nonce."""
        expected = Accepted(LI_NA, b"\x00\x07nonce-of-16-byte", NOW)

        assert _verdict(_code(), after_s=30) == expected

    @pytest.mark.parametrize(
        ("after_s", "expected"),
        [
            (-5.001, DenyReason.CODE_FUTURE),  # just outside the skew budget
            (-5, None),  # the budget's edge still counts
            (65, None),  # validity and budget to the end
            (65.001, DenyReason.CODE_EXPIRED),  # just past both
            (-86_400, DenyReason.CODE_FUTURE),  # a clock a day behind
            (8 * 3_600, DenyReason.CODE_EXPIRED),  # no time zone is forgiven
            (-8 * 3_600, DenyReason.CODE_FUTURE),
        ],
    )
    def test_window(self, after_s: float, expected: DenyReason | None) -> None:
        """A code is good from 5 s before its making to 5 s after its validity, and never else."""
        found = _verdict(_code(validity_s=60), after_s=after_s)

        assert (found if isinstance(found, DenyReason) else None) is expected

    def test_the_gate_cuts_long_validity(self) -> None:
        """A code that claims 255 s is still refused after the gate's own 120 s and the budget."""
        long = _code(validity_s=255)

        assert isinstance(_verdict(long, after_s=125), Accepted)
        assert _verdict(long, after_s=126) is DenyReason.CODE_EXPIRED

    def test_every_flipped_bit_is_refused(self) -> None:
        """Each of the 848 single bit flips is refused: foreign in head and key id, else forged."""
        code = _code()
        for bit in range(8 * len(code)):
            spoiled = bytearray(code)
            spoiled[bit // 8] ^= 1 << bit % 8
            head_or_key = bit // 8 < len(HEAD) + 2
            expected = DenyReason.CODE_FOREIGN if head_or_key else DenyReason.CODE_FORGED

            assert _verdict(bytes(spoiled)) is expected, bit

    def test_every_truncation_is_refused(self) -> None:
        """Each proper beginning of a code, the empty one too, is refused as truncated."""
        code = _code()

        found = {_verdict(code[:length]) for length in range(len(code))}

        assert found == {DenyReason.CODE_TRUNCATED}

    @pytest.mark.parametrize("extra", [1, 64, 10_000_000])
    def test_longer_is_refused(self, extra: int) -> None:
        """A code with something behind it is refused by its length, however long."""
        assert _verdict(_code() + bytes(extra)) is DenyReason.CODE_TRUNCATED

    @pytest.mark.parametrize(
        "payload",
        [
            b"https://example.org/menu",  # somebody's menu
            b"GL\x02" + bytes(CODE_BYTES - 3),  # a later version
            b"\x80" + bytes(331),  # the national ride code begins so
            bytes(CODE_BYTES),
        ],
    )
    def test_other_codes_are_foreign(self, payload: bytes) -> None:
        """What does not begin as our codes do is foreign, of whatever length."""
        assert _verdict(payload) is DenyReason.CODE_FOREIGN

    def test_unknown_key_is_foreign(self) -> None:
        """A code of an issuer whose key is not trusted here is foreign."""
        assert _verdict(_code(key_id=8)) is DenyReason.CODE_FOREIGN

    def test_dropped_key_is_foreign(self) -> None:
        """Once a key is withdrawn, its codes no longer open."""
        assert _verdict(_code(), keys=KeyRing()) is DenyReason.CODE_FOREIGN

    def test_stranger_under_a_trusted_id_is_forged(self) -> None:
        """Who signs with a key of their own under a trusted key id is refused as forged."""
        assert _verdict(_code(key=STRANGER)) is DenyReason.CODE_FORGED

    def test_forged_wins_over_time(self) -> None:
        """Nothing in a code is believed, its time neither, before its signature is."""
        assert _verdict(_code(key=STRANGER), after_s=86_400) is DenyReason.CODE_FORGED

    def test_signature_of_another_rider_does_not_fit(self) -> None:
        """Two genuine codes cannot be spliced: one's body under the other's signature is forged."""
        one, other = _code(nonce=bytes(16)), _code(nonce=bytes([1] * 16))

        assert _verdict(one[:42] + other[42:]) is DenyReason.CODE_FORGED

    def test_malleable_signature_is_refused(self) -> None:
        """Adding the group order to the signature's second half makes no second valid code."""
        order = 2**252 + 27742317777372353535851937790883648493
        code = _code()
        scalar = int.from_bytes(code[-32:], "little") + order

        assert _verdict(code[:-32] + scalar.to_bytes(32, "little")) is DenyReason.CODE_FORGED

    @given(st.binary(max_size=300))
    def test_never_raises(self, payload: bytes) -> None:
        """Whatever bytes a scanner gives, the answer is a refusal."""
        assert isinstance(_verdict(payload), DenyReason)

    @given(st.binary(min_size=CODE_BYTES - 5, max_size=CODE_BYTES - 5), st.floats(-1e9, 1e9))
    def test_never_raises_behind_our_head(self, rest: bytes, after_s: float) -> None:
        """The same for bytes that begin like a code of a trusted key, at any time."""
        payload = HEAD + KEY_ID.to_bytes(2, "big") + rest

        assert _verdict(payload, after_s=after_s) is DenyReason.CODE_FORGED

    def test_control_a_signed_code_with_any_fields_is_accepted(self) -> None:
        """Control: the refusals above come from the spoiling; 200 unspoiled codes all pass."""
        codes = [_code(nonce=os.urandom(16)) for _ in range(200)]

        assert all(isinstance(_verdict(code), Accepted) for code in codes)


class TestFaultTable:
    """Row 21 of the fault table, line by line; each line's control is the code unspoiled."""

    @pytest.mark.parametrize(
        ("spoil", "expected"),
        [
            (lambda c: c, None),  # control
            (lambda c: c[:7] + bytes(reversed(c[7:23])) + c[23:], DenyReason.CODE_FORGED),
            # wrong endian: the time, and the key id
            (lambda c: c[:21] + c[21:25][::-1] + c[25:], DenyReason.CODE_FORGED),
            (lambda c: c[:3] + c[3:5][::-1] + c[5:], DenyReason.CODE_FOREIGN),
            # unknown versions, older and newer
            *(
                (lambda c, v=v: c[:2] + bytes([v]) + c[3:], DenyReason.CODE_FOREIGN)
                for v in (0, 2, 0x80, 0xFF)
            ),
            # a longer life written over the signed one
            (lambda c: c[:25] + b"\xff" + c[26:], DenyReason.CODE_FORGED),
            # self-signed: a stranger's key signs what the issuer signed
            (lambda c: c[:42] + STRANGER.sign(c[:42]), DenyReason.CODE_FORGED),
            # no signature at all, and one of zeros
            (lambda c: c[:42], DenyReason.CODE_TRUNCATED),
            (lambda c: c[:42] + bytes(64), DenyReason.CODE_FORGED),
        ],
    )
    def test_verdicts(self, spoil: Callable[[bytes], bytes], expected: DenyReason | None) -> None:
        """Each way to spoil a code has its verdict."""
        found = _verdict(spoil(_code()))

        assert (found if isinstance(found, DenyReason) else None) is expected

    @pytest.mark.parametrize(
        ("error_ms", "expected"),
        [(0, None), (5_000, None), (5_001, DenyReason.CLOCK_UNSURE), (2**32 - 1, "clock_unsure")],
    )
    def test_a_wrong_clock_judges_no_code(self, error_ms: int, expected: str | None) -> None:
        """Beyond the budget of 5 s no code is judged, however good it looks; a forgery still is."""
        found = verify(_code(), KEYS, NOW, CONFIG, clock_error_ms=error_ms)
        forged = verify(_code(key=STRANGER), KEYS, NOW, CONFIG, clock_error_ms=error_ms)

        assert (found.reason if isinstance(found, Refused) else None) == expected
        assert forged == Refused(DenyReason.CODE_FORGED)


class TestRideCodeConfig:
    """Its ranges."""

    @pytest.mark.parametrize(
        ("skew_s", "validity_s_max"), [(-1, 60), (61, 60), (5, 0), (5, 256), (float("nan"), 60)]
    )
    def test_refuses_out_of_range(self, skew_s: float, validity_s_max: int) -> None:
        """A limit outside its range stops the start."""
        with pytest.raises(ValueError):
            RideCodeConfig(skew_s, validity_s_max)


class TestReplayGuard:
    """Used codes."""

    def test_knows_used_codes_only(self) -> None:
        """A code is unused until it has been remembered."""
        guard = ReplayGuard()
        guard.remember(b"one")

        assert guard.used(b"one")
        assert not guard.used(b"two")

    def test_memory_is_bounded_and_forgets_the_oldest(self) -> None:
        """With room for three, the fourth code takes the place of the first."""
        guard = ReplayGuard(capacity=3)
        for number in range(4):
            guard.remember(bytes([number]))

        assert [guard.used(bytes([n])) for n in range(4)] == [False, True, True, True]
        assert len(guard) == 3

    @given(st.lists(st.integers(0, 30)))
    def test_the_last_codes_are_always_known(self, order: list[int]) -> None:
        """Whatever the order, the last five different codes are known, and never more."""
        guard = ReplayGuard(capacity=5)
        for number in order:
            guard.remember(bytes([number]))
        last_first = list(dict.fromkeys(reversed(order)))

        known = [n for n in last_first if guard.used(bytes([n]))]

        assert known == last_first[:5]

    def test_needs_room(self) -> None:
        """A guard without room would forget at once, so it is refused."""
        with pytest.raises(ValueError):
            ReplayGuard(capacity=0)
