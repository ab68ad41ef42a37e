"""Changes of a view as protobuf and back, checked when they come back.

A sealed template is opened here, so that everything behind it sees what it can compare; the record
travels beside it for the disk.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.columns import ArrivedPuts, Packed, PackedChanges, comparable, packed_of
from cloud_sync.content import (
    SettingRefused,
    Space,
    TemplateRefused,
    check,
    content_hash,
    label_hash,
    pack,
    unpack,
    unsound,
)
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
    Setting,
    SettingName,
)
from cloud_sync.secrecy.opener import Opener
from cloud_sync.secrecy.seal import Label, NotOpened
from cloud_sync.secrecy.sealer import Sealer
from cloud_sync.setting import read
from cloud_sync.stream.messages import NackCode, Refusal
from cloud_sync.wire.primitive import WireBroken, time_of, uuid_of

_REASONS = {
    DenialReason.WITHDRAWN: pb.PutDenial.REASON_WITHDRAWN,
    DenialReason.DEBT: pb.PutDenial.REASON_DEBT,
    DenialReason.LOST: pb.PutDenial.REASON_LOST,
    DenialReason.FRAUD: pb.PutDenial.REASON_FRAUD,
}
_REASONS_BACK = {number: reason for reason, number in _REASONS.items()}
_TIERS = (1, 2)


def changes_to_proto(
    changes: Iterable[Change],
    hashes: Iterable[bytes],
    into: pb.Chunk | pb.Repair,
    sealer: Sealer | None = None,
) -> None:
    """Write changes into a message; written elsewhere first they would be copied.

    Args:
        changes: Any; a vector is not checked here, the receiver does.
        hashes: The content hash of each, 32 bytes.
        into: Has none yet.
        sealer: Of the station and epoch; None sends templates in plain.
    """
    rows = changes.rows if isinstance(changes, PackedChanges) else changes
    for change, digest in zip(rows, hashes, strict=True):
        made = into.changes.add()
        made.content_hash = digest
        match change:
            case Packed():
                _write_template(made.put_template, change, sealer)
            case PutTemplate(template):
                row = packed_of(template, pack(template.vector))
                _write_template(made.put_template, row, sealer)
            case _:
                _write_small(made, change)


def _write_small(made: pb.Change, change: Change) -> None:
    match change:
        case DropTemplate(rider_ref):
            made.drop_template.rider_ref = rider_ref.bytes
        case PutKey(key):
            made.put_key.CopyFrom(pb.PutKey(key_id=key.key_id, public_key=key.public_key))
        case DropKey(key_id):
            made.drop_key.CopyFrom(pb.DropKey(key_id=key_id))
        case PutDenial(denial):
            put = pb.PutDenial(
                rider_ref=denial.rider_ref.bytes,
                reason=_REASONS[denial.reason],
                since_time=denial.since,
                until_time=denial.until,
            )
            made.put_denial.CopyFrom(put)
        case DropDenial(rider_ref):
            made.drop_denial.rider_ref = rider_ref.bytes
        case PutSetting(setting):
            made.put_setting.CopyFrom(pb.PutSetting(name=setting.name, body=setting.body))
        case DropSetting(name):
            made.drop_setting.name = name


def changes_from_proto(
    changes: Sequence[pb.Change], space: Space, opener: Opener | None
) -> ArrivedPuts | list[Change | Refusal]:
    """Return each change, or why it may not be applied.

    Args:
        changes: As received.
        space: What the station's loaded model can compare.
        opener: With it only sealed templates are taken, without it only plain ones.

    Returns:
        By columns where all are templates and none is refused.
    """
    opening = _Opening(space, opener)
    found = [opening.read(change) for change in changes]
    puts, refused = opening.arrived()
    if len(puts) == len(found) and not any(refused):
        return puts
    each = iter(zip(puts, refused, strict=True))
    return [_either(*next(each)) if one is None else one for one in found]


def _either(put: PutTemplate, refusal: Refusal | None) -> PutTemplate | Refusal:
    return put if refusal is None else refusal


class _Opening:
    """Reads the changes of one message; templates are compared all at once at the end."""

    def __init__(self, space: Space, opener: Opener | None) -> None:
        self._space, self._opener = space, opener
        self._key_id = "" if opener is None else opener.key_id
        self._transforms = {space.transform_id, *(() if opener is None else opener.transforms)}
        self._size = 2 * space.dimension
        self._rows: list[Packed] = []
        self._bodies: list[bytes] = []
        self._hashes: list[bytes] = []

    def read(self, change: pb.Change) -> Change | Refusal | None:
        """Return a change, or why it may not be applied; None of a template that was kept."""
        stated = change.content_hash
        try:
            if change.HasField("put_template"):
                return self._keep(change.put_template, stated)
            known = _known(change)
        except _Refused as problem:
            return Refusal(stated, problem.code, str(problem))
        except (WireBroken, TemplateRefused, SettingRefused, NotOpened) as problem:
            return Refusal(stated, NackCode.BAD_ITEM, str(problem))
        if content_hash(known) != stated:
            return Refusal(stated, NackCode.BAD_ITEM, _UNLIKE)
        return known

    def arrived(self) -> tuple[ArrivedPuts, list[Refusal | None]]:
        """Return the templates that were kept, and what is wrong with a vector, if anything."""
        templates = comparable(self._rows, self._opener)
        puts = ArrivedPuts(
            templates,
            [row.label for row in self._rows],
            self._bodies,
            self._hashes,
            self._key_id,
        )
        refused: list[Refusal | None] = [None] * len(puts)
        for row in np.flatnonzero(unsound(templates.vectors)).tolist():
            refused[row] = _unsound(self._rows[row].body, self._hashes[row])
        return puts, refused

    def _keep(self, put: pb.PutTemplate, stated: bytes) -> Refusal | None:
        model_id, transform_id = put.model_id, put.transform_id
        if model_id != self._space.model_id or transform_id not in self._transforms:
            detail = f"a template of {model_id} / {transform_id}"
            return Refusal(stated, NackCode.WRONG_SPACE, detail)
        tier = put.tier or 1
        if tier not in _TIERS:
            raise _Refused(NackCode.UNSUPPORTED, f"a template of tier {tier}")
        label = Label(_rider(put.rider_ref), put.version, model_id, transform_id)
        expires = time_of(put.expire_time) if put.HasField("expire_time") else None
        body = put.vector
        packed = self._packed(put.key_id, body, label)
        if len(packed) != self._size:
            check(unpack(packed), dimension=self._space.dimension)
        if label_hash(label, expires, tier, packed) != stated:
            return Refusal(stated, NackCode.BAD_ITEM, _UNLIKE)
        self._rows.append(Packed(label, expires, tier, packed))
        self._bodies.append(body)
        self._hashes.append(stated)
        return None

    def _packed(self, key_id: str, body: bytes, label: Label) -> bytes:
        if self._opener is None:
            if key_id:
                raise _Refused(NackCode.UNSUPPORTED, "an encrypted template")
            return body
        if key_id != self._key_id:
            raise _Refused(NackCode.UNSUPPORTED, "a template that is not under the granted key")
        return self._opener.packed(body, label)


_UNLIKE = "the content hash does not fit"


def _unsound(packed: bytes, stated: bytes) -> Refusal:
    """Return what is wrong with a vector, in the words of its check."""
    vector = unpack(packed)
    try:
        check(vector, dimension=len(vector))
    except TemplateRefused as problem:
        return Refusal(stated, NackCode.BAD_ITEM, str(problem))
    return Refusal(stated, NackCode.BAD_ITEM, "the vector is not of unit length")


class _Refused(Exception):
    """The item may not be applied, for a reason of its own code."""

    def __init__(self, code: NackCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def _known(change: pb.Change) -> Change:
    match change.WhichOneof("change"):
        case "drop_template":
            known: Change = DropTemplate(uuid_of(change.drop_template.rider_ref))
        case "put_key":
            key = change.put_key
            known = PutKey(IssuerKey(_key_id(key.key_id), _public_key(key.public_key)))
        case "drop_key":
            known = DropKey(_key_id(change.drop_key.key_id))
        case "put_denial":
            known = PutDenial(_denial(change.put_denial))
        case "drop_denial":
            known = DropDenial(uuid_of(change.drop_denial.rider_ref))
        case "put_setting":
            setting = Setting(_name(change.put_setting.name), change.put_setting.body)
            read(setting)
            known = PutSetting(setting)
        case "drop_setting":
            known = DropSetting(_name(change.drop_setting.name))
        case _:
            raise _Refused(NackCode.UNSUPPORTED, "an operation unknown here")
    return known


def _write_template(into: pb.PutTemplate, row: Packed, sealer: Sealer | None) -> None:
    """Write field by field: made of arguments it takes thrice as long, and a view has 50,000."""
    label, expires, tier, body = row
    into.rider_ref, into.version, into.model_id, into.transform_id = label
    if sealer is None:
        into.vector = body
    else:
        into.vector = sealer.seal(label, body)
        into.key_id = sealer.key_id
    if expires is not None:
        into.expire_time.FromDatetime(expires)
    if tier != 1:
        into.tier = tier


def _denial(put: pb.PutDenial) -> Denial:
    reason = _REASONS_BACK.get(put.reason)
    if reason is None:
        raise _Refused(NackCode.UNSUPPORTED, f"a denial of reason {put.reason}")
    return Denial(
        rider_ref=uuid_of(put.rider_ref),
        reason=reason,
        since=time_of(put.since_time),
        until=time_of(put.until_time) if put.HasField("until_time") else None,
    )


def _rider(raw: bytes) -> bytes:
    if len(raw) != 16:
        raise WireBroken(f"an id of {len(raw)} bytes, not 16")
    return raw


def _name(name: str) -> SettingName:
    try:
        return SettingName(name)
    except ValueError as problem:
        raise _Refused(NackCode.UNSUPPORTED, "a setting unknown here") from problem


def _key_id(key_id: int) -> int:
    if key_id > 0xFFFF:
        raise WireBroken("a key id above 65,535")
    return key_id


def _public_key(public_key: bytes) -> bytes:
    if len(public_key) != 32:
        raise WireBroken(f"a public key of {len(public_key)} bytes, not 32")
    return public_key
