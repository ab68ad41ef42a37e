"""Templates by columns are the same templates, whatever is done to them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from cloud_sync.columns import (
    ArrivedPuts,
    Gathering,
    PackedChanges,
    Templates,
    comparable,
    packed_of,
)
from cloud_sync.content import Space, pack
from cloud_sync.gallery import Change, PutTemplate, Template
from cloud_sync.secrecy.grant import KeyGrant
from cloud_sync.secrecy.opener import Opener
from cloud_sync.secrecy.rotation import Rotation, RotationSeed
from cloud_sync.secrecy.seal import label_of
from tests.templates import EPOCH, SPACE, deny, template

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
CROWD = tuple(
    template(
        f"rider {number}",
        version=1 + number % 3,
        expires=NOON + timedelta(days=number) if number % 2 else None,
        tier=1 + number % 2,
    )
    for number in range(7)
)
NEW, OLD = RotationSeed("00c0ffee", b"n" * 32), RotationSeed("0badcafe", b"o" * 32)


def told(templates: Sequence[Template]) -> list[tuple[object, ...]]:
    """Return everything about templates, to be compared."""
    return [
        (
            each.rider_ref,
            each.version,
            each.model_id,
            each.transform_id,
            each.expires,
            each.tier,
            each.vector.tolist(),
        )
        for each in templates
    ]


def opener(*seeds: RotationSeed) -> Opener:
    """Return the keys of an operator with these rotations, the current one first."""
    grant = KeyGrant("bell-tower", EPOCH, "00000001", b"d" * 32, b"g" * 32, seeds, NOON)
    return Opener(grant, dimension=SPACE.dimension)


class TestTemplates:
    """A sequence of templates."""

    def test_gives_back_what_it_was_made_of(self) -> None:
        """One by one, in slices, and as it is when made anew."""
        columns = Templates.of(CROWD)

        assert told(columns) == told(CROWD)
        assert told(columns[2:5]) == told(CROWD[2:5])
        assert told([columns[-1]]) == told(CROWD[-1:])
        assert Templates.of(columns) is columns
        assert not Templates.of(())

    def test_keeps_whom_it_is_told_to(self) -> None:
        """Every column loses the same rows; all of them lose none."""
        columns = Templates.of(CROWD)
        odd = np.array([number % 2 == 1 for number in range(len(CROWD))])

        assert told(columns.where(odd)) == told(CROWD[1::2])
        assert columns.where(np.ones(len(CROWD), bool)) is columns
        assert not columns.where(np.zeros(len(CROWD), bool))

    @pytest.mark.parametrize("announced", [0, 3, 7, 500])
    @pytest.mark.parametrize("block", [1, 3, 65_536])
    def test_are_gathered_in_their_order(
        self, monkeypatch: pytest.MonkeyPatch, announced: int, block: int
    ) -> None:
        """However many were announced, and wherever a block of memory ends."""
        monkeypatch.setattr(Gathering, "_ROWS", block)
        gathering = Gathering(announced)
        for part in (CROWD[:2], (), CROWD[2:3], CROWD[3:]):
            gathering.add(Templates.of(part))

        assert told(gathering.all()) == told(CROWD)
        assert not Gathering(announced).all()


class TestPacked:
    """Templates as they are inside their records."""

    def test_are_changes_like_any_other(self) -> None:
        """Read as a sequence they bring what was packed, and what is small is as it was."""
        rows = [packed_of(each, pack(each.vector)) for each in CROWD]
        changes: Sequence[Change] = PackedChanges([deny("Dan"), *rows])

        assert changes[0] == deny("Dan")
        puts = [change for change in changes[1:] if isinstance(change, PutTemplate)]
        assert told([put.template for put in puts]) == told(CROWD)

    def test_are_all_brought_into_the_current_rotation(self) -> None:
        """While keys are renewed a view holds three kinds; compared they are one."""
        plain = [template(f"rider {number}") for number in range(3)]
        rotations = (None, *(Rotation(seed, dimension=SPACE.dimension) for seed in (NEW, OLD)))
        rows = []
        for each, rotation in zip(plain, rotations, strict=True):
            vector = each.vector if rotation is None else rotation.apply(each.vector)
            name = "plain" if rotation is None else rotation.transform_id
            label = label_of(each)._replace(transform_id=name)
            rows.append(packed_of(each, pack(vector))._replace(label=label))

        found = comparable(rows, opener(NEW, OLD))

        home = rotations[1]
        assert home is not None
        assert set(found.transform_ids) == {NEW.transform_id}
        for one, each in zip(found, plain, strict=True):
            assert np.allclose(one.vector, home.apply(each.vector), atol=2e-3)
            assert not np.allclose(one.vector, each.vector, atol=0.05)  # control: turned they are

    def test_of_another_dimension_are_another_space(self) -> None:
        """Columns have one dimension; vectors of two are refused, not cut."""
        other = template("Ana", space=Space("model-a", "plain", 4))

        with pytest.raises(ValueError, match="shape"):
            Templates.of((*CROWD, other))


class TestArrived:
    """Templates as a node takes them."""

    def test_are_puts_with_their_records(self) -> None:
        """Each brings its template and what the disk keeps; where nothing is sealed, no record."""
        labels = [label_of(each) for each in CROWD]
        bodies = [bytes([number]) * 4 for number in range(len(CROWD))]
        hashes = [bytes([number]) * 32 for number in range(len(CROWD))]
        sealed = ArrivedPuts(Templates.of(CROWD), labels, bodies, hashes, "0badcafe")
        plain = ArrivedPuts(Templates.of(CROWD), labels, bodies, hashes, "")

        assert told([put.template for put in sealed[1:]]) == told(CROWD[1:])
        records = [put.sealed for put in sealed]
        assert [record.body for record in records if record] == bodies
        assert [record.content_hash for record in records if record] == hashes
        assert {record.key_id for record in records if record} == {"0badcafe"}
        assert [put.sealed for put in plain] == [None] * len(CROWD)

    def test_a_rider_is_told_by_the_reference_alone(self) -> None:
        """Sixteen bytes in the columns, a UUID where somebody asks."""
        columns = Templates.of(CROWD)

        assert [UUID(bytes=rider) for rider in columns.riders] == [t.rider_ref for t in CROWD]
