"""A sealed template opens as what it is, and as nothing else."""

import os
import time
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from cloud_sync.content import pack
from cloud_sync.fields import joined, split
from cloud_sync.secrecy.keys import RootKey, at_rest_key, data_key, digest_key
from cloud_sync.secrecy.seal import Label, NotOpened, StationCipher, open_vector, seal_vector

ROOT = RootKey("0a1b2c3d", bytes(range(32)))
EPOCH, OTHER_EPOCH = UUID(int=1), UUID(int=2)
WREN, ROBIN = UUID(int=11), UUID(int=12)
NONCE = bytes(12)


def cipher(root: RootKey = ROOT, station: str = "S1", epoch: UUID = EPOCH) -> StationCipher:
    """Give the cipher of a station and epoch."""
    key = data_key(root, station_id=station, epoch=epoch)
    return StationCipher(key, station_id=station, epoch=epoch)


def of(rider: UUID = WREN, **changed: Any) -> Label:
    """Give what a template is said to be."""
    return Label(rider.bytes, 3, "open", "rot-00000001")._replace(**changed)


VECTOR = pack(np.full(512, 512**-0.5, np.float32))
SEALED = seal_vector(cipher(), VECTOR, of(), nonce=NONCE)


class TestOpenVector:
    """Opening."""

    def test_gives_back_what_was_sealed(self) -> None:
        """Control: under the right key and as what it is, a template opens."""
        assert open_vector(cipher(), SEALED, of()) == VECTOR
        assert len(SEALED) == len(VECTOR) + 28
        assert VECTOR[:32] not in SEALED

    @pytest.mark.parametrize(
        "changed",
        [
            {"rider": ROBIN},
            {"version": 4},
            {"model_id": "other"},
            {"transform_id": "plain"},
            # The same letters cut elsewhere.
            {"model_id": "openr", "transform_id": "ot-00000001"},
        ],
        ids="+".join,
    )
    def test_refuses_another_description(self, changed: dict[str, Any]) -> None:
        """A template that is passed off as another rider's, version's, model's or transform's."""
        with pytest.raises(NotOpened):
            open_vector(cipher(), SEALED, of(**changed))

    def test_refuses_swapped_riders(self) -> None:
        """Two riders' ciphertexts, exchanged in the file, open as neither; in place both do."""
        robins = seal_vector(cipher(), VECTOR[::-1], of(ROBIN), nonce=b"\1" * 12)

        for sealed, rider in ((SEALED, ROBIN), (robins, WREN)):
            with pytest.raises(NotOpened):
                open_vector(cipher(), sealed, of(rider))
        assert open_vector(cipher(), robins, of(ROBIN)) == VECTOR[::-1]

    @pytest.mark.parametrize(
        "other",
        [
            cipher(epoch=OTHER_EPOCH),
            cipher(station="S2"),
            cipher(RootKey("0a1b2c3d", bytes(32))),
            # The right key, with the wrong place beside it.
            StationCipher(
                data_key(ROOT, station_id="S1", epoch=EPOCH), station_id="S1", epoch=OTHER_EPOCH
            ),
            StationCipher(
                data_key(ROOT, station_id="S1", epoch=EPOCH), station_id="S2", epoch=EPOCH
            ),
        ],
        ids=["epoch", "station", "root", "epoch beside", "station beside"],
    )
    def test_refuses_another_place(self, other: StationCipher) -> None:
        """A template of another epoch or station, or under another root key, does not open."""
        with pytest.raises(NotOpened):
            open_vector(other, SEALED, of())

    def test_refuses_every_flipped_bit(self) -> None:
        """No bit of nonce, ciphertext or tag can be changed unseen; one in 16 is tried."""
        known = cipher()
        for place in range(0, 8 * len(SEALED), 16):
            broken = bytearray(SEALED)
            broken[place // 8] ^= 1 << place % 8
            with pytest.raises(NotOpened):
                open_vector(known, bytes(broken), of())

    @pytest.mark.parametrize("size", [0, 11, 12, 27, 28, len(SEALED) - 1])
    def test_refuses_a_part(self, size: int) -> None:
        """A record that breaks off anywhere does not open, and one with a byte more neither."""
        for piece in (SEALED[:size], SEALED + b"\0"):
            with pytest.raises(NotOpened):
                open_vector(cipher(), piece, of())

    def test_tells_nothing_of_the_content(self) -> None:
        """The refusal names neither key nor content."""
        with pytest.raises(NotOpened) as refused:
            open_vector(cipher(epoch=OTHER_EPOCH), SEALED, of())

        assert refused.value.__cause__ is None
        assert SEALED.hex()[:16] not in str(refused.value)

    def test_is_quick(self) -> None:
        """Sealing and opening cost microseconds, far below 50 each even on a busy machine."""
        known, label, count = cipher(), of(), 2_000
        nonces = [place.to_bytes(12, "big") for place in range(count)]
        began_s = time.perf_counter()
        sealed = [seal_vector(known, VECTOR, label, nonce=nonce) for nonce in nonces]
        middle_s = time.perf_counter()
        assert all(open_vector(known, each, label) == VECTOR for each in sealed)
        ended_s = time.perf_counter()

        seal_us, open_us = (1e6 * s / count for s in (middle_s - began_s, ended_s - middle_s))
        print(f"seal {seal_us:.1f} us, open {open_us:.1f} us a record")
        assert max(seal_us, open_us) < 50


class TestKeys:
    """Derivation."""

    def test_each_use_has_its_own_key(self) -> None:
        """Root, use, station, epoch and purpose each make another key; the same make the same."""

        def derived(root: RootKey) -> list[bytes]:
            return [
                data_key(root, station_id="S1", epoch=EPOCH),
                data_key(root, station_id="S2", epoch=EPOCH),
                data_key(root, station_id="S1", epoch=OTHER_EPOCH),
                digest_key(root, station_id="S1", epoch=EPOCH),
                at_rest_key(root, "S1"),
                at_rest_key(root, "S2"),
            ]

        both = derived(ROOT) + derived(RootKey("0a1b2c3d", bytes(32)))

        assert len(set(both)) == len(both)
        assert derived(ROOT) == derived(ROOT)
        assert {len(key) for key in both} == {32}

    def test_a_root_key_does_not_show_itself(self) -> None:
        """`repr` and the refusal of a wrong key show no byte of it."""
        secret = os.urandom(33)
        with pytest.raises(ValueError) as refused:
            RootKey("0a1b2c3d", secret)

        assert "0a1b2c3d" in repr(ROOT)
        assert ROOT.secret.hex() not in repr(ROOT)
        assert repr(ROOT.secret)[2:-1] not in repr(ROOT)
        assert secret.hex() not in str(refused.value)

    @pytest.mark.parametrize(
        "key_id", ["", "0a1b2c3", "0A1B2C3D", "0a1b2c3d0", "../a1b2c", "0a1b2c3d\n"]
    )
    def test_refuses_ids_that_are_none(self, key_id: str) -> None:
        """An id stands in records and file names, so it has one shape."""
        with pytest.raises(ValueError):
            RootKey(key_id, bytes(32))


class TestFields:
    """Several byte strings as one."""

    @pytest.mark.parametrize("parts", [(), (b"",), (b"a", b"", b"bc"), (b"x" * 300,)])
    def test_come_back(self, parts: tuple[bytes, ...]) -> None:
        """What was joined is split into the same parts."""
        assert split(joined(*parts)) == parts

    def test_no_two_lists_look_alike(self) -> None:
        """Parts cut in another place, or one more empty part, are other bytes."""
        lists = [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""), (b"", b"abc")]

        assert len({joined(*parts) for parts in lists}) == len(lists)

    def test_refuses_what_breaks_off(self) -> None:
        """Every beginning of an encoding but the empty one and whole parts is refused."""
        whole = joined(b"abc", b"de")
        for size in range(len(whole)):
            if size in (0, 7):
                continue
            with pytest.raises(ValueError):
                split(whole[:size])
