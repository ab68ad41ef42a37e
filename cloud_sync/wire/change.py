"""One change of a view as protobuf and back, checked when it comes back."""

from gateline.sync.v1 import gallery_service_pb2 as pb

from cloud_sync.content import (
    SettingRefused,
    Space,
    TemplateRefused,
    check,
    content_hash,
    pack,
    unpack,
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
    Template,
)
from cloud_sync.messages import NackCode, Refusal
from cloud_sync.setting import read
from cloud_sync.wire.primitive import WireBroken, time_of, uuid_of

_REASONS = {
    DenialReason.WITHDRAWN: pb.PutDenial.REASON_WITHDRAWN,
    DenialReason.DEBT: pb.PutDenial.REASON_DEBT,
    DenialReason.LOST: pb.PutDenial.REASON_LOST,
    DenialReason.FRAUD: pb.PutDenial.REASON_FRAUD,
}
_REASONS_BACK = {number: reason for reason, number in _REASONS.items()}
_TIERS = (1, 2)


def change_to_proto(change: Change, digest: bytes) -> pb.Change:
    """Return one change as protobuf.

    Args:
        change: Any change; its vector is not checked here, the receiver does.
        digest: Its content hash, 32 bytes.
    """
    made = pb.Change(content_hash=digest)
    match change:
        case PutTemplate(template):
            made.put_template.CopyFrom(_template_to_proto(template))
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
    return made


def change_from_proto(change: pb.Change, space: Space) -> Change | Refusal:
    """Return one change, or why it may not be applied.

    Args:
        change: As received.
        space: What the station's loaded model can compare.
    """
    stated = bytes(change.content_hash)
    try:
        known = _known(change, space)
    except _Refused as problem:
        return Refusal(stated, problem.code, str(problem))
    except (WireBroken, TemplateRefused, SettingRefused) as problem:
        return Refusal(stated, NackCode.BAD_ITEM, str(problem))
    if content_hash(known) != stated:
        return Refusal(stated, NackCode.BAD_ITEM, "the content hash does not fit")
    return known


class _Refused(Exception):
    """The item may not be applied, for a reason of its own code."""

    def __init__(self, code: NackCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def _known(change: pb.Change, space: Space) -> Change:
    match change.WhichOneof("change"):
        case "put_template":
            known: Change = PutTemplate(_template(change.put_template, space))
        case "drop_template":
            known = DropTemplate(uuid_of(change.drop_template.rider_ref))
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


def _template_to_proto(template: Template) -> pb.PutTemplate:
    return pb.PutTemplate(
        rider_ref=template.rider_ref.bytes,
        version=template.version,
        model_id=template.model_id,
        transform_id=template.transform_id,
        vector=pack(template.vector),
        expire_time=template.expires,
        tier=0 if template.tier == 1 else template.tier,
    )


def _template(put: pb.PutTemplate, space: Space) -> Template:
    if put.key_id:
        raise _Refused(NackCode.UNSUPPORTED, "an encrypted template")
    tier = put.tier or 1
    if tier not in _TIERS:
        raise _Refused(NackCode.UNSUPPORTED, f"a template of tier {tier}")
    if (put.model_id, put.transform_id) != (space.model_id, space.transform_id):
        detail = f"a template of {put.model_id} / {put.transform_id}"
        raise _Refused(NackCode.WRONG_SPACE, detail)
    vector = unpack(put.vector)
    check(vector, dimension=space.dimension)
    return Template(
        rider_ref=uuid_of(put.rider_ref),
        version=put.version,
        model_id=put.model_id,
        transform_id=put.transform_id,
        vector=vector,
        expires=time_of(put.expire_time) if put.HasField("expire_time") else None,
        tier=tier,
    )


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
