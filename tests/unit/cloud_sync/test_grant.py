"""A grant of keys opens for one node, station and epoch."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from cloud_sync.secrecy.grant import (
    GrantRefused,
    KeyGrant,
    StreamKey,
    grant_from_bytes,
    grant_to_bytes,
    unwrap,
    wrap,
)
from cloud_sync.secrecy.rotation import RotationSeed

EPOCH = UUID(int=5)
GRANT = KeyGrant(
    station_id="S1",
    epoch=EPOCH,
    key_id="0a1b2c3d",
    data_key=bytes(range(32)),
    digest_key=bytes(range(32, 64)),
    rotations=(RotationSeed("00000001", b"\7" * 32), RotationSeed("00000002", b"\x08" * 32)),
    valid_until=datetime(2026, 5, 5, 12, 0, 0, 250_000, tzinfo=UTC),
)
NODE = StreamKey(b"\x11" * 32)
WRAPPED = wrap(GRANT, recipient=NODE.public_key, edge_id="E1", ephemeral=b"\x22" * 32)


def opened(
    wrapped: bytes = WRAPPED,
    key: StreamKey = NODE,
    *,
    station: str = "S1",
    edge: str = "E1",
    epoch: UUID = EPOCH,
) -> KeyGrant:
    """Open a grant as a node would."""
    return unwrap(wrapped, key, station_id=station, edge_id=edge, epoch=epoch)


class TestUnwrap:
    """Wrapping and opening."""

    def test_gives_back_the_grant(self) -> None:
        """Control: the node it is for opens it."""
        assert opened() == GRANT

    def test_shows_nothing(self) -> None:
        """No secret stands in the wrapped bytes, nor in the grant's `repr`."""
        secrets = [GRANT.data_key, GRANT.digest_key, *(seed.secret for seed in GRANT.rotations)]

        for secret in secrets:
            assert secret[:8] not in WRAPPED
            assert secret.hex()[:16] not in repr(GRANT)
            assert repr(secret)[2:20] not in repr(GRANT)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"key": StreamKey(b"\x12" * 32)},
            {"station": "S2"},
            {"edge": "E2"},
            {"epoch": UUID(int=6)},
            # The same letters cut elsewhere.
            {"station": "S1E", "edge": "1"},
        ],
        ids=["key", "station", "edge", "epoch", "boundary"],
    )
    def test_refuses_others(self, wrong: dict[str, object]) -> None:
        """Another node's key, another station, edge or epoch gets nothing."""
        with pytest.raises(GrantRefused):
            opened(**wrong)  # type: ignore[arg-type]

    def test_refuses_every_flipped_byte_and_every_part(self) -> None:
        """A grant that was changed or cut anywhere does not open."""
        for place in range(0, len(WRAPPED), 3):
            broken = bytearray(WRAPPED)
            broken[place] ^= 0x40
            with pytest.raises(GrantRefused):
                opened(bytes(broken))
            with pytest.raises(GrantRefused):
                opened(WRAPPED[:place])

    def test_refuses_a_key_that_shares_with_everybody(self) -> None:
        """A public key of low order, which would make the secret known, is refused at both ends."""
        with pytest.raises(GrantRefused):
            wrap(GRANT, recipient=bytes(32), edge_id="E1", ephemeral=b"\x22" * 32)
        with pytest.raises(GrantRefused):
            opened(bytes(32) + WRAPPED[32:])

    def test_two_wraps_have_nothing_in_common(self) -> None:
        """The same grant wrapped with other randomness is other bytes throughout."""
        again = wrap(GRANT, recipient=NODE.public_key, edge_id="E1", ephemeral=b"\x23" * 32)

        assert again[:32] != WRAPPED[:32]
        assert again[32:64] != WRAPPED[32:64]


class TestGrantBytes:
    """The grant in plain."""

    @pytest.mark.parametrize("grant", [GRANT, replace(GRANT, rotations=())])
    def test_come_back(self, grant: KeyGrant) -> None:
        """With any number of rotations."""
        assert grant_from_bytes(grant_to_bytes(grant)) == grant

    def test_refuses_damage_without_telling_it(self) -> None:
        """A file that breaks off, or is something else, is no grant; the refusal quotes none."""
        whole = grant_to_bytes(GRANT)
        for content in (b"", b"x", whole[:-1], whole[:100], whole + b"\0", b"\0" * len(whole)):
            with pytest.raises(GrantRefused) as refused:
                grant_from_bytes(content)
            assert str(refused.value) == "this is no grant"

    def test_names_the_seed_of_a_transform(self) -> None:
        """A template's transform leads to its seed; one that is not granted leads to none."""
        assert GRANT.seed_of("rot-00000002") == GRANT.rotations[1]
        assert GRANT.seed_of("rot-00000003") is None
        assert GRANT.seed_of("plain") is None
