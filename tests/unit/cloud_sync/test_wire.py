"""Domain values to protobuf and back, and what the receiver refuses."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from gateline.sync.v1 import gallery_service_pb2 as pb
from gateline.sync.v1 import tap_service_pb2 as tap_pb
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.content import Space, content_hash, pack
from cloud_sync.gallery import (
    Change,
    Denial,
    DenialReason,
    DropDenial,
    DropKey,
    DropSetting,
    DropTemplate,
    IssuerKey,
    PutDenial,
    PutKey,
    PutSetting,
    PutTemplate,
    SettingName,
    Template,
)
from cloud_sync.secrecy.opener import Trust
from cloud_sync.secrecy.sealer import Sealer
from cloud_sync.setting import (
    Mode,
    StationMode,
    TariffTable,
    ThresholdOverride,
    written,
)
from cloud_sync.stream.messages import (
    Ack,
    Bookmark,
    Chunk,
    Deny,
    FromEdge,
    Hello,
    Nack,
    NackCode,
    Plan,
    Repair,
    Resume,
    UpgradeRequired,
)
from cloud_sync.taps.outbox import GENESIS, SealedTap
from cloud_sync.taps.tap_log import BATCH_MAX, Batch, Receipt
from cloud_sync.wire import (
    WireBroken,
    batch_from_proto,
    batch_to_proto,
    receipt_from_proto,
    receipt_to_proto,
    request_from_proto,
    request_to_proto,
    response_from_proto,
    response_to_proto,
)
from fare.tap import Direction, Medium, Tap
from tests.sealed import OPERATOR, sealer, trust
from tests.taps import tap
from tests.templates import EPOCH, SPACE, deny, poison, put, rider, setting, snapshot, template

PROTOS = Path(__file__).parents[3] / "protos"
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # the bounds are naive by the strategy's own rule
TEXTS = st.text(max_size=30)
REVS = st.integers(0, 2**63 - 1)


@st.composite
def templates(draw: st.DrawFn) -> Template:
    """Draw a unit vector of SPACE with everything else free."""
    values = draw(st.lists(st.floats(-1, 1, width=16), min_size=8, max_size=8))
    vector = np.asarray(values, np.float32)
    length = np.linalg.norm(vector)
    vector = np.eye(8, dtype=np.float32)[0] if length < 0.01 else vector / length
    return Template(
        draw(st.uuids()),
        draw(st.integers(0, 2**31 - 1)),
        SPACE.model_id,
        SPACE.transform_id,
        vector,
        draw(st.none() | MOMENTS),
        draw(st.sampled_from((1, 2))),
    )


DOCUMENTS = st.one_of(
    st.frozensets(st.sampled_from(Mode)).map(StationMode),
    st.builds(ThresholdOverride, st.none() | st.floats(1e-6, 2e-2), st.none() | st.just(0.1)),
    st.just(TariffTable("xian-2011", "CNY", ((6_000, 200), (10_000, 300)))),
)
CHANGES = st.one_of(
    templates().map(PutTemplate),
    st.uuids().map(DropTemplate),
    st.builds(
        lambda number, key: PutKey(IssuerKey(number, key)),
        st.integers(0, 0xFFFF),
        st.binary(min_size=32, max_size=32),
    ),
    st.integers(0, 0xFFFF).map(DropKey),
    st.builds(Denial, st.uuids(), st.sampled_from(DenialReason), MOMENTS, st.none() | MOMENTS).map(
        PutDenial
    ),
    st.uuids().map(DropDenial),
    DOCUMENTS.map(written).map(PutSetting),
    st.sampled_from(SettingName).map(DropSetting),
)


def chunk(*changes: Change, **fields: int) -> Chunk:
    """Return a chunk of these changes."""
    hashes = tuple(content_hash(change) for change in changes)
    return Chunk(
        nonce=fields.get("nonce", 1),
        epoch=EPOCH,
        from_rev=fields.get("from_rev", 4),
        to_rev=fields.get("to_rev", 9),
        changes=changes,
        hashes=hashes,
    )


def travelled(sent: Chunk, space: Space = SPACE) -> Chunk:
    """Return a chunk as it arrives."""
    raw = response_to_proto(sent).SerializeToString()
    arrived = response_from_proto(pb.FollowResponse.FromString(raw), space)
    assert isinstance(arrived, Chunk)
    return arrived


def refused_as(change: Change, space: Space = SPACE) -> NackCode:
    """Return why the receiver refuses a change, with a good one beside it."""
    arrived = travelled(chunk(put("Ana"), change), space)
    assert len(arrived.changes) == 1
    assert arrived.intact
    return arrived.refusals[0].code


class TestGallery:
    """The gallery stream's messages."""

    @given(changes=st.lists(CHANGES, max_size=5))
    @settings(max_examples=200, deadline=None)
    def test_a_chunk_arrives_as_it_was_sent(self, changes: list[Change]) -> None:
        """Every change comes back with its content hash, vectors within half precision."""
        sent = chunk(*changes)

        arrived = travelled(sent)

        assert arrived.refusals == ()
        assert arrived.intact
        assert tuple(arrived.hashes) == sent.hashes
        for before, after in zip(sent.changes, arrived.changes, strict=True):
            if not isinstance(before, PutTemplate):
                assert after == before
                continue
            assert isinstance(after, PutTemplate)
            gap = np.abs(after.template.vector - before.template.vector)
            assert float(gap.max()) <= 2**-11  # half a unit in the last place at 1
            assert after.template.expires == before.template.expires
            assert after.template.version == before.template.version
            assert after.template.tier == before.template.tier

    @given(made=templates())
    @settings(max_examples=100, deadline=None)
    def test_a_second_journey_changes_nothing(self, made: Template) -> None:
        """What arrived once is sent on bit for bit, so that hashes agree everywhere."""
        once = travelled(chunk(PutTemplate(made))).changes[0]
        twice = travelled(chunk(once)).changes[0]

        assert content_hash(once) == content_hash(twice) == content_hash(PutTemplate(made))

    @given(
        plan=st.one_of(
            st.builds(Resume, st.uuids(), REVS),
            TEXTS.map(UpgradeRequired),
            TEXTS.map(Deny),
            st.just(snapshot(put("Ana"), chunks=3)),
            st.builds(Bookmark, st.uuids(), REVS, MOMENTS, MOMENTS),
        )
    )
    def test_plans_and_bookmarks_travel(self, plan: Plan | Bookmark) -> None:
        """What the cloud says beside chunks comes back equal."""
        assert response_from_proto(response_to_proto(plan), SPACE) == plan

    @given(
        said=st.one_of(
            st.builds(Ack, REVS, REVS),
            st.builds(Nack, REVS, st.sampled_from(NackCode), TEXTS, st.just((b"1" * 32,))),
            st.builds(
                Hello,
                edge_id=TEXTS,
                station_id=TEXTS,
                epoch=st.none() | st.uuids(),
                applied_rev=REVS,
                model_id=TEXTS,
                transform_id=TEXTS,
                template_count=REVS,
                utc_time=MOMENTS,
                staged_root=st.binary(max_size=32),
                staged_chunks=st.integers(0, 1000),
                outbox_depth=REVS,
            ),
        )
    )
    def test_what_the_edge_says_travels(self, said: FromEdge) -> None:
        """Hello, ack and nack come back equal."""
        assert request_from_proto(request_to_proto(said)) == said

    @pytest.mark.parametrize(
        "values",
        [
            [np.nan] * 8,  # not a number
            [np.inf] + [0.0] * 7,  # infinite
            [0.0] * 8,  # nobody
            [0.5] * 8,  # length 1.41
            [0.3535] * 7 + [0.3635],  # length off by 0.0035
            [1.0] + [0.0] * 6,  # seven values
            [1.0] + [0.0] * 8,  # nine values
            [],
        ],
    )
    def test_refuses_what_no_embedder_made(self, values: list[float]) -> None:
        """A vector that is not of unit length in the right dimension is a bad item."""
        vector = np.asarray(values, np.float32)
        bad = Template(rider("Mallory"), 1, SPACE.model_id, SPACE.transform_id, vector)

        assert refused_as(PutTemplate(bad)) is NackCode.BAD_ITEM

    def test_takes_what_rounding_leaves(self) -> None:
        """The control: a unit vector rounded to half precision is no bad item."""
        arrived = travelled(chunk(put("Ana"), put("Ben")))

        assert len(arrived.changes) == 2

    @pytest.mark.parametrize(
        "space",
        [Space("model-b", "plain", 8), Space("model-a", "rotated", 8)],
    )
    def test_refuses_another_space(self, space: Space) -> None:
        """A template of another model or transform is refused, not compared."""
        assert refused_as(put("Ben", space=space)) is NackCode.WRONG_SPACE

    @pytest.mark.parametrize("field", ["rider_ref", "version", "vector", "expire_time", "tier"])
    def test_refuses_a_template_that_was_swapped(self, field: str) -> None:
        """A template under another rider's name, or altered at all, does not fit its hash."""
        message = response_to_proto(chunk(put("Ana")))
        change = message.chunk.changes[0].put_template
        match field:
            case "rider_ref":
                change.rider_ref = rider("Mallory").bytes
            case "version":
                change.version += 1
            case "vector":
                change.vector = pack(template("Mallory").vector)
            case "tier":
                change.tier = 2
            case "expire_time":
                change.expire_time.seconds = 4_000_000_000

        arrived = response_from_proto(message, SPACE)

        assert isinstance(arrived, Chunk)
        assert [item.code for item in arrived.refusals] == [NackCode.BAD_ITEM]

    def test_names_the_item_it_refuses(self) -> None:
        """A refusal carries the content hash that the cloud knows the item by."""
        bad = poison("Ana")

        arrived = travelled(chunk(put("Ben"), bad))

        assert [item.content_hash for item in arrived.refusals] == [content_hash(bad)]

    def test_an_unknown_operation_is_not_ignored(self) -> None:
        """A change that this release does not know is refused as unsupported."""
        message = response_to_proto(chunk(put("Ana")))
        message.chunk.changes[0].ClearField("put_template")

        arrived = response_from_proto(message, SPACE)

        assert isinstance(arrived, Chunk)
        assert NackCode.UNSUPPORTED in [item.code for item in arrived.refusals]

    @pytest.mark.parametrize("part", ["reason", "setting", "tier"])
    def test_an_unknown_meaning_is_not_ignored(self, part: str) -> None:
        """A reason, document or tier of a later release is refused as unsupported, not dropped."""
        message = response_to_proto(chunk(deny("Ana"), setting(), put("Ben")))
        denial, document, template = message.chunk.changes
        match part:
            case "reason":
                denial.MergeFrom(pb.Change.FromString(b"\x32\x02\x10\x4d"))  # reason 77
            case "setting":
                document.put_setting.name = "weather"
            case "tier":
                template.put_template.tier = 3

        arrived = response_from_proto(message, SPACE)

        assert isinstance(arrived, Chunk)
        assert [item.code for item in arrived.refusals] == [NackCode.UNSUPPORTED]

    @pytest.mark.parametrize("field", ["rider_ref", "reason", "since_time", "until_time"])
    def test_refuses_a_denial_that_was_swapped(self, field: str) -> None:
        """A denial of somebody else, for another reason or time, does not fit its hash."""
        message = response_to_proto(chunk(deny("Ana")))
        put_denial = message.chunk.changes[0].put_denial
        match field:
            case "rider_ref":
                put_denial.rider_ref = rider("Mallory").bytes
            case "reason":
                put_denial.reason = pb.PutDenial.REASON_FRAUD
            case "since_time":
                put_denial.since_time.seconds += 1
            case "until_time":
                put_denial.until_time.seconds = 0

        arrived = response_from_proto(message, SPACE)

        assert isinstance(arrived, Chunk)
        assert [item.code for item in arrived.refusals] == [NackCode.BAD_ITEM]

    def test_a_document_that_is_too_long_is_refused(self) -> None:
        """A setting above 64 KiB is a bad item."""
        assert refused_as(setting(body=b"x" * 65_537)) is NackCode.BAD_ITEM

    def test_an_encrypted_template_is_not_read_as_plain(self) -> None:
        """Ciphertext is not mistaken for a vector."""
        message = response_to_proto(chunk(put("Ana")))
        message.chunk.changes[0].put_template.key_id = "kek-1"

        arrived = response_from_proto(message, SPACE)

        assert isinstance(arrived, Chunk)
        assert [item.code for item in arrived.refusals] == [NackCode.UNSUPPORTED]

    def test_a_chunk_that_lost_a_change_is_not_intact(self) -> None:
        """The chunk's digest covers every change and their order."""
        whole = response_to_proto(chunk(put("Ana"), put("Ben")))
        del whole.chunk.changes[1]

        arrived = response_from_proto(whole, SPACE)

        assert isinstance(arrived, Chunk)
        assert not arrived.intact

    @pytest.mark.parametrize(
        "broken",
        [
            pb.FollowResponse(),
            pb.FollowResponse(plan=pb.Plan()),
            pb.FollowResponse(plan=pb.Plan.FromString(b"\x08\x4d")),  # mode 77
            pb.FollowResponse(plan=pb.Plan(mode="MODE_RESUME", epoch=b"short")),
            pb.FollowResponse(chunk=pb.Chunk(epoch=b"")),
            pb.FollowResponse(bookmark=pb.Bookmark(epoch=b"1" * 15)),
        ],
    )
    def test_refuses_a_message_that_is_none(self, broken: pb.FollowResponse) -> None:
        """What the protocol does not have is an error of its own, never a crash."""
        with pytest.raises(WireBroken):
            response_from_proto(broken, SPACE)

    def test_refuses_a_time_out_of_range(self) -> None:
        """A time after the year 9999 is broken, not an overflow."""
        message = response_to_proto(Bookmark(EPOCH, 1, datetime.now(UTC), datetime.now(UTC)))
        message.bookmark.cloud_time.seconds = 10**15

        with pytest.raises(WireBroken):
            response_from_proto(message, SPACE)

    @given(noise=st.binary(max_size=200))
    def test_noise_never_crashes_the_cloud(self, noise: bytes) -> None:
        """Whatever an edge sends becomes a message or `WireBroken`."""
        try:
            request = pb.FollowRequest.FromString(noise)
        except Exception:  # noqa: BLE001  # protobuf's own refusal has no public type
            return
        try:
            request_from_proto(request)
        except WireBroken:
            return


TURNED = Space(SPACE.model_id, OPERATOR.rotation.transform_id, SPACE.dimension)
"""What the cloud has: the same model, turned by the operator's rotation."""


class TestSealed:
    """What travels between a cloud that seals and its node."""

    def chunk(self) -> Chunk:
        """Return a chunk of turned templates beside small things."""
        return chunk(put("Ana", space=TURNED), put("Ben", space=TURNED), deny("Cleo"), from_rev=0)

    def test_no_vector_is_on_the_wire(self) -> None:
        """The bytes of a chunk hold no template, plain or turned, which they do without sealing."""
        made = self.chunk()
        needle = pack(template("Ana", space=TURNED).vector)

        plain = response_to_proto(made).SerializeToString()
        sealed = response_to_proto(made, sealer()).SerializeToString()

        assert needle in plain
        assert needle not in sealed

    def test_arrives_turned(self) -> None:
        """The node opens and checks, and turns nothing; record and hash stay for its disk."""
        made = self.chunk()

        arrived = response_from_proto(response_to_proto(made, sealer()), SPACE, trust(sealer()))

        assert isinstance(arrived, Chunk)
        assert (arrived.intact, arrived.refusals, arrived.hashes) == (True, (), made.hashes)
        got = arrived.changes[0]
        assert isinstance(got, PutTemplate)
        assert got.template.transform_id == TURNED.transform_id
        assert np.array_equal(got.template.vector, template("Ana", space=TURNED).vector)
        assert got.sealed is not None
        assert content_hash(got) == content_hash(made.changes[0])

    def test_swapped_records_are_refused(self) -> None:
        """Ana's record under Ben's name does not open, whoever made the hashes fit."""
        message = response_to_proto(self.chunk(), sealer())
        ana, ben = (message.chunk.changes[place].put_template for place in (0, 1))
        ana.vector, ben.vector = ben.vector, ana.vector

        arrived = response_from_proto(message, SPACE, trust(sealer()))

        assert isinstance(arrived, Chunk)
        assert [one.code for one in arrived.refusals] == [NackCode.BAD_ITEM] * 2

    @pytest.mark.parametrize(
        "maker", [sealer("drum-tower"), sealer(epoch=UUID(int=9))], ids=["station", "epoch"]
    )
    def test_of_another_station_or_epoch_does_not_open(self, maker: Sealer) -> None:
        """A record that was sealed elsewhere is refused here, signature or not."""
        message = response_to_proto(self.chunk(), maker)
        unsigned = Trust("bell-tower", trust(sealer()).opener)

        arrived = response_from_proto(message, SPACE, unsigned)

        assert isinstance(arrived, Chunk)
        assert len(arrived.refusals) == 2

    def test_a_plain_template_is_refused_where_keys_are_granted(self) -> None:
        """Nobody slips a template past the sealing by leaving it away."""
        message = response_to_proto(self.chunk())
        unsigned = Trust("bell-tower", trust(sealer()).opener)

        arrived = response_from_proto(message, SPACE, unsigned)

        assert isinstance(arrived, Chunk)
        assert [one.code for one in arrived.refusals] == [NackCode.UNSUPPORTED] * 2

    @pytest.mark.parametrize(
        "field", ["from_rev", "to_rev", "index", "span", "is_snapshot", "signature", "epoch"]
    )
    def test_a_chunk_that_was_moved_is_not_intact(self, field: str) -> None:
        """A proxy cannot move a chunk to another place: a deletion could be skipped."""
        message = response_to_proto(self.chunk(), sealer())
        match field:
            case "is_snapshot":
                message.chunk.is_snapshot = True
            case "signature":
                message.chunk.signature = b""
            case "epoch":
                message.chunk.epoch = UUID(int=9).bytes
            case _:
                setattr(message.chunk, field, getattr(message.chunk, field) + 2)

        arrived = response_from_proto(message, SPACE, trust(sealer()))

        assert isinstance(arrived, Chunk)
        assert not arrived.intact
        assert not arrived.changes

    @pytest.mark.parametrize("field", ["none", "buckets", "rev", "signature"])
    def test_a_repair_is_signed_as_well(self, field: str) -> None:
        """A repair for other buckets or another revision than the cloud's is not intact."""
        changes = (put("Ana", space=TURNED),)
        made = Repair(5, EPOCH, 7, (3, 4), changes, tuple(map(content_hash, changes)))
        message = response_to_proto(made, sealer())
        match field:
            case "buckets":
                message.repair.buckets = bytes((3, 5))
            case "rev":
                message.repair.rev = 8
            case "signature":
                message.repair.signature = b""

        arrived = response_from_proto(message, SPACE, trust(sealer()))

        assert isinstance(arrived, Repair)
        assert arrived.intact is (field == "none")
        assert len(arrived.changes) == (field == "none")

    def test_no_key_or_record_is_in_a_repr(self) -> None:
        """What could end in a log line shows neither ciphertext, nor keys, nor grants."""
        message = response_to_proto(self.chunk(), sealer())
        arrived = response_from_proto(message, SPACE, trust(sealer()))
        bookmark = Bookmark(EPOCH, 1, datetime.now(UTC), datetime.now(UTC), grant=b"secret")

        assert isinstance(arrived, Chunk)
        put_back = arrived.changes[0]
        assert isinstance(put_back, PutTemplate)
        assert put_back.sealed is not None
        assert repr(put_back.sealed.body)[2:-1] not in repr(put_back)
        assert "secret" not in repr(bookmark)
        assert "opener" not in repr(trust(sealer()))


TAPS = st.builds(
    Tap,
    tap_id=st.uuids(),
    rider_ref=st.uuids(),
    station_id=TEXTS,
    lane_id=TEXTS,
    direction=st.sampled_from(Direction),
    medium=st.sampled_from(Medium),
    tap_time=MOMENTS,
    clock_error_ms=st.integers(0, 2**32 - 1),
    model_id=TEXTS,
    score_e4=st.integers(-10_000, 10_000),
    code_id=st.binary(max_size=20),
)
OUTBOX = UUID(int=5)


class TestTaps:
    """The tap batch."""

    @given(taps=st.lists(TAPS, max_size=4))
    @settings(deadline=None)
    def test_taps_arrive_with_the_same_digest(self, taps: list[Tap]) -> None:
        """Every tap comes back equal and hashes the same, or its signature would not fit."""
        sealed = tuple(
            SealedTap(OUTBOX, seq, GENESIS, made, b"s" * 64) for seq, made in enumerate(taps, 1)
        )
        batch = Batch("edge", OUTBOX, sealed)
        raw = batch_to_proto(batch).SerializeToString()

        arrived = batch_from_proto(tap_pb.BatchCreateTapsRequest.FromString(raw))

        assert arrived == batch
        assert [item.digest() for item in arrived.taps] == [item.digest() for item in sealed]

    @given(receipt=st.builds(Receipt, REVS, REVS, st.booleans()))
    def test_the_receipt_travels(self, receipt: Receipt) -> None:
        """What the cloud answers comes back equal."""
        assert receipt_from_proto(receipt_to_proto(receipt)) == receipt

    @pytest.mark.parametrize("field", ["tap_id", "direction", "medium", "seq", "prev_hash"])
    def test_refuses_a_tap_it_cannot_place(self, field: str) -> None:
        """A tap without an id, a place or a known meaning is refused; the edge keeps it."""
        sealed = SealedTap(OUTBOX, 1, GENESIS, tap(0), b"")
        request = batch_to_proto(Batch("edge", OUTBOX, (sealed,)))
        target = request.taps[0] if field in ("seq", "prev_hash") else request.taps[0].tap
        target.ClearField(field)

        with pytest.raises(WireBroken):
            batch_from_proto(request)

    @pytest.mark.parametrize(
        ("end", "east"),
        [(datetime(1, 1, 1, 5, tzinfo=UTC), -6), (datetime(9999, 12, 31, 18, tzinfo=UTC), 8)],
    )
    def test_refuses_a_tap_whose_local_day_is_out_of_range(self, end: datetime, east: int) -> None:
        """A tap at the very end of all times has no local day somewhere, so no price either."""
        made = replace(tap(0), tap_time=end)
        request = batch_to_proto(Batch("edge", OUTBOX, (SealedTap(OUTBOX, 1, GENESIS, made, b""),)))

        with pytest.raises(OverflowError):  # control: what such a tap does to a fare
            end.astimezone(timezone(timedelta(hours=east)))
        with pytest.raises(WireBroken):
            batch_from_proto(request)

    def test_refuses_a_flag_it_does_not_know(self) -> None:
        """A flag of a later version cannot be dropped: the hash would fit no more."""
        sealed = SealedTap(OUTBOX, 1, GENESIS, tap(0), b"")
        request = batch_to_proto(Batch("edge", OUTBOX, (sealed,)))
        request.taps[0].tap.flags.append(99)

        with pytest.raises(WireBroken):
            batch_from_proto(request)

    def test_refuses_a_batch_without_end(self) -> None:
        """More taps than agreed are not even looked at."""
        sealed = SealedTap(OUTBOX, 1, GENESIS, tap(0), b"")
        request = batch_to_proto(Batch("edge", OUTBOX, (sealed,) * (BATCH_MAX + 1)))

        with pytest.raises(WireBroken):
            batch_from_proto(request)


class TestGeneratedCode:
    """The contract and the code made of it."""

    def test_is_up_to_date(self, tmp_path: Path) -> None:
        """Generating anew from the .proto files gives the committed code, byte for byte."""
        found = sorted(PROTOS.glob("gateline/**/*.proto"))
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
        command += [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
        subprocess.run([*command, *map(str, found)], check=True)

        made = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(made) == 3 * len(found) >= 6
        for path in made:
            committed = PROTOS / path.relative_to(tmp_path)
            assert committed.read_text() == path.read_text(), f"{path.name} is stale"
