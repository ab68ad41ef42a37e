"""Changes of a view as protobuf and back, checked when they come back.

A sealed template is opened here, so that everything behind it sees what it can compare; the record
travels beside it for the disk.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NamedTuple

from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.content import (
    SettingRefused,
    Space,
    TemplateRefused,
    check,
    content_hash,
    label_hash,
    pack,
    unpack,
    unpack_all,
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
    Sealed,
    Setting,
    SettingName,
    Template,
)
from cloud_sync.secrecy.opener import Opener
from cloud_sync.secrecy.rotation import PLAIN
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
    for change, digest in zip(changes, hashes, strict=True):
        made = into.changes.add(content_hash=digest)
        match change:
            case PutTemplate(template, _, packed):
                _write_template(made.put_template, template, packed, sealer)
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
) -> list[Change | Refusal]:
    """Return each change, or why it may not be applied.

    Args:
        changes: As received.
        space: What the station's loaded model can compare.
        opener: With it only sealed templates are taken, without it only plain ones.
    """
    known = {space.transform_id, *(() if opener is None else opener.transforms)}
    found = [_change(change, space, known, opener) for change in changes]
    puts = iter(_compared([one for one in found if isinstance(one, _Opened)], opener))
    return [next(puts) if isinstance(one, _Opened) else one for one in found]


class _Opened(NamedTuple):
    """A template as it is inside its record: packed and still turned."""

    label: Label
    expires: datetime | None
    tier: int
    packed: bytes
    sealed: Sealed | None
    stated: bytes
    """The content hash."""


def _compared(opened: Sequence[_Opened], opener: Opener | None) -> list[PutTemplate | Refusal]:
    """Return templates that can be compared, all vectors at once: one by one takes thrice as long.

    Args:
        opened: Each of the dimension expected.
        opener: Undoes rotations.
    """
    if not opened:
        return []
    vectors = unpack_all([one.packed for one in opened])
    refused = unsound(vectors)
    transforms = [one.label.transform_id for one in opened]
    if opener is not None:
        vectors = opener.turned_back(vectors, transforms)
        transforms = [PLAIN] * len(opened)
    made: list[PutTemplate | Refusal] = []
    for one, vector, transform, wrong in zip(
        opened, vectors, transforms, refused.tolist(), strict=True
    ):
        rider_ref, version, model_id, _ = one.label
        template = Template(rider_ref, version, model_id, transform, vector, one.expires, one.tier)
        made.append(_unsound(one) if wrong else PutTemplate(template, one.sealed))
    return made


def _unsound(opened: _Opened) -> Refusal:
    """Return what is wrong with a vector, in the words of its check."""
    vector = unpack(opened.packed)
    try:
        check(vector, dimension=len(vector))
    except TemplateRefused as problem:
        return Refusal(opened.stated, NackCode.BAD_ITEM, str(problem))
    return Refusal(opened.stated, NackCode.BAD_ITEM, "the vector is not of unit length")


def _change(
    change: pb.Change, space: Space, transforms: AbstractSet[str], opener: Opener | None
) -> Change | Refusal | _Opened:
    stated = change.content_hash
    try:
        if change.HasField("put_template"):
            put = change.put_template
            if put.model_id != space.model_id or put.transform_id not in transforms:
                detail = f"a template of {put.model_id} / {put.transform_id}"
                return Refusal(stated, NackCode.WRONG_SPACE, detail)
            return _put_template(put, stated, space, opener)
        known = _known(change)
    except _Refused as problem:
        return Refusal(stated, problem.code, str(problem))
    except (WireBroken, TemplateRefused, SettingRefused, NotOpened) as problem:
        return Refusal(stated, NackCode.BAD_ITEM, str(problem))
    if content_hash(known) != stated:
        return Refusal(stated, NackCode.BAD_ITEM, "the content hash does not fit")
    return known


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


def _write_template(
    into: pb.PutTemplate, template: Template, packed: bytes | None, sealer: Sealer | None
) -> None:
    """Write field by field: made of arguments it takes thrice as long, and a view has 50,000."""
    body = pack(template.vector) if packed is None else packed
    into.rider_ref = template.rider_ref.bytes
    into.version = template.version
    into.model_id = template.model_id
    into.transform_id = template.transform_id
    if sealer is None:
        into.vector = body
    else:
        into.vector = sealer.seal(template, body)
        into.key_id = sealer.key_id
    if template.expires is not None:
        into.expire_time.FromDatetime(template.expires)
    if template.tier != 1:
        into.tier = template.tier


def _put_template(
    put: pb.PutTemplate, stated: bytes, space: Space, opener: Opener | None
) -> _Opened | Refusal:
    tier = put.tier or 1
    if tier not in _TIERS:
        raise _Refused(NackCode.UNSUPPORTED, f"a template of tier {tier}")
    label = Label(uuid_of(put.rider_ref), put.version, put.model_id, put.transform_id)
    expires = time_of(put.expire_time) if put.HasField("expire_time") else None
    body = put.vector
    packed = _packed(put.key_id, body, label, opener)
    if len(packed) != 2 * space.dimension:
        check(unpack(packed), dimension=space.dimension)
    if label_hash(label, expires, tier, packed) != stated:
        return Refusal(stated, NackCode.BAD_ITEM, "the content hash does not fit")
    sealed = Sealed(put.key_id, label.transform_id, body, stated) if put.key_id else None
    return _Opened(label, expires, tier, packed, sealed, stated)


def _packed(key_id: str, body: bytes, label: Label, opener: Opener | None) -> bytes:
    if opener is None:
        if key_id:
            raise _Refused(NackCode.UNSUPPORTED, "an encrypted template")
        return body
    if key_id != opener.key_id:
        raise _Refused(NackCode.UNSUPPORTED, "a template that is not under the granted key")
    return opener.packed(body, label)


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
