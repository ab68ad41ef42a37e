"""How a node joins, stays known, and brings its taps when it is not; real servers, handshakes."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cloud_sync.adapters.grpc.client import (
    Badge,
    CertificateKeeper,
    DeviceAway,
    DeviceRefused,
    KeeperConfig,
    NoBadge,
    TapUplink,
    UplinkConfig,
    fetched_ca,
    join,
)
from cloud_sync.adapters.grpc.device_client import renew_late
from cloud_sync.adapters.grpc.node_trust import NodeTrust
from cloud_sync.adapters.system_clock import SystemClock
from cloud_sync.gallery import PutTemplate
from cloud_sync.stream.view import EdgeNode
from cloud_sync.taps.outbox import Outbox
from cloud_sync.taps.signing import NodeKey
from cloud_sync.trust.certificate import key_to_pem
from cloud_sync.trust.device import Identity
from cloud_sync.trust.registry import What
from tests.guarded import (
    BELL,
    DAY,
    DRUM,
    EVERYBODY,
    KEY,
    QUICK,
    Cloud,
    ca_of,
    foreign_authority,
    gets_gallery,
    in_memory,
    kept,
    now,
    outbox_of,
    until,
)
from tests.keys import SAFE
from tests.taps import tap
from tests.trust import badge, once


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Give a cloud in memory that serves."""
    with in_memory() as made_cloud:
        yield made_cloud


class TestJoin:
    """A new node."""

    def test_gets_what_it_needs(self, cloud: Cloud, tmp_path: Path) -> None:
        """With a token and the authority it gets a certificate, and with that its gallery."""
        me = Identity("south-gate", "edge-7")
        trust, token = NodeTrust(tmp_path / "trust"), cloud.token(me)

        given = join(trust, me, KEY, token, target=cloud.device, ca=ca_of(cloud))

        assert given.certified.identity == me
        assert given.cloud_key == SAFE.ring.cloud_key.public_key
        node = cloud.views.edge("edge-7")
        assert node == EdgeNode("edge-7", "south-gate", KEY.public_key)
        cloud.views.publish(["south-gate"], [PutTemplate(EVERYBODY[0])])
        assert gets_gallery(cloud, trust.badge()) == {EVERYBODY[0].rider_ref}
        assert cloud.told(What.ENROLLED) == ["at south-gate"]
        assert [path.stat().st_mode & 0o777 for path in (tmp_path / "trust").iterdir()] == [
            0o600
        ] * 4
        # The answer was lost: the same node may ask once more, another may not.
        join(trust, me, KEY, token, target=cloud.device, ca=ca_of(cloud))
        with pytest.raises(DeviceRefused, match="PERMISSION_DENIED"):
            join(NodeTrust(tmp_path / "b"), me, KEY, token, target=cloud.device, ca=ca_of(cloud))

    @pytest.mark.parametrize("fault", ["unknown", "wrong_node", "expired"])
    def test_a_bad_token_lets_nobody_in(self, cloud: Cloud, tmp_path: Path, fault: str) -> None:
        """The stranger hears one word for all of them, the audit the right one."""
        me = Identity("south-gate", "edge-7")
        token = cloud.token(me)
        if fault == "unknown":
            token = token[:-1] + ("a" if token[-1] != "a" else "b")
        if fault == "wrong_node":
            me = Identity(BELL, "edge-7")
        if fault == "expired":
            token = cloud.token(me, validity=timedelta(microseconds=1))

        with pytest.raises(DeviceRefused, match="lets nobody in"):
            join(NodeTrust(tmp_path / "t"), me, KEY, token, target=cloud.device, ca=ca_of(cloud))

        [line] = cloud.told(What.TOKEN_REFUSED)
        assert line.startswith(fault)
        assert token not in line
        assert cloud.views.edge("edge-7") is None

    def test_a_flood_of_wrong_tokens_is_told_in_a_few_lines(
        self, cloud: Cloud, tmp_path: Path
    ) -> None:
        """However many tokens a stranger tries, the audit has some and the number of the rest."""
        trust = NodeTrust(tmp_path / "t")
        for number in range(15):
            who = Identity(BELL, f"edge-{number}")  # whom he names is his to choose
            with pytest.raises(DeviceRefused):
                join(trust, who, KEY, "no token", target=cloud.device, ca=ca_of(cloud))

        assert len(cloud.told(What.TOKEN_REFUSED)) == 10
        assert cloud.told(What.LEFT_OUT) == ["1 x token_refused"]  # the next in a minute

    def test_a_copied_disk_is_noticed(self, cloud: Cloud, tmp_path: Path) -> None:
        """A second node with the key of the first is not let in under a name of its own."""
        first, second = Identity("south-gate", "edge-7"), Identity("south-gate", "edge-8")
        trust = NodeTrust(tmp_path / "trust")
        join(trust, first, KEY, cloud.token(first), target=cloud.device, ca=ca_of(cloud))

        with pytest.raises(DeviceRefused, match="another edge's"):
            join(trust, second, KEY, cloud.token(second), target=cloud.device, ca=ca_of(cloud))

        assert cloud.told(What.TOKEN_REFUSED)[0].startswith("key_reused")

    def test_somebody_elses_tap_key_is_not_enrolled(self, cloud: Cloud, tmp_path: Path) -> None:
        """Who cannot sign with a tap key cannot have it taken for theirs."""

        class Thief(NodeKey):
            """Shows one public key and signs with another."""

            @property
            def public_key(self) -> bytes:
                """Return another node's."""
                return NodeKey(bytes(32)).public_key

        me = Identity("south-gate", "edge-7")
        with pytest.raises(DeviceRefused, match="tap key is not proven"):
            join(
                NodeTrust(tmp_path / "t"), me, Thief(bytes(range(32))), cloud.token(me),
                target=cloud.device, ca=ca_of(cloud),
            )  # fmt: skip

    def test_to_an_impostor_tells_no_token(self, cloud: Cloud, tmp_path: Path) -> None:
        """A node that is given the right authority does not tell its token to anybody else."""
        me = Identity("south-gate", "edge-7")

        with pytest.raises(DeviceAway):
            join(
                NodeTrust(tmp_path / "t"), me, KEY, cloud.token(me),
                target=cloud.device, ca=foreign_authority(),
            )  # fmt: skip

        assert cloud.told(What.ENROLLED) == []

    def test_by_fingerprint(self, cloud: Cloud) -> None:
        """The authority is fetched by its fingerprint, and by no other."""
        [authority] = cloud.authority.authorities()

        assert fetched_ca(cloud.device, authority.fingerprint.upper()) == authority.pem
        with pytest.raises(DeviceAway, match="fingerprint"):
            fetched_ca(cloud.device, "00" * 32)


class TurnedClock(SystemClock):
    """A node's clock that is off."""

    def __init__(self, off: timedelta) -> None:
        """Be off by so much."""
        self.off = off

    def wall(self) -> datetime:
        """Return the wrong time."""
        return super().wall() + self.off


class TestKeeper:
    """A node that keeps its certificate."""

    def keeper(self, cloud: Cloud, trust: NodeTrust, clock: SystemClock) -> CertificateKeeper:
        """Return the loop of a node."""
        config = KeeperConfig(cloud.main, cloud.device, backoff=QUICK)
        return CertificateKeeper(trust, config=config, clock=clock, draw=lambda: 0.0)

    @pytest.mark.parametrize(
        ("age", "off"),
        [
            (2 * DAY, timedelta(0)),  # by the main port
            (8 * DAY, timedelta(0)),  # by the device port
            (8 * DAY, -5 * DAY),  # its clock is slow: the main port's handshake tells it
            (2 * DAY, 30 * DAY),  # its clock is fast: the device port takes good ones too
        ],
    )
    def test_renews(self, cloud: Cloud, tmp_path: Path, age: timedelta, off: timedelta) -> None:
        """A day old or out, whatever its own clock says, and the new one opens the main port."""
        trust = kept(cloud.badge(age=age), tmp_path / "trust")

        self.keeper(cloud, trust, TurnedClock(off)).look()

        fresh = trust.badge()
        assert now() - fresh.certified.issued < timedelta(minutes=1)
        assert gets_gallery(cloud, fresh) == {EVERYBODY[0].rider_ref}

    def test_lets_a_young_one_be(self, cloud: Cloud, tmp_path: Path) -> None:
        """In its first day a certificate is not renewed."""
        shown = cloud.badge(age=DAY - timedelta(minutes=5))
        trust = kept(shown, tmp_path / "trust")

        self.keeper(cloud, trust, SystemClock()).look()

        assert trust.badge() == shown

    def test_goes_on_when_refused(
        self, cloud: Cloud, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A revoked node keeps asking and says why, once; its old certificate stays."""
        shown = cloud.badge(age=2 * DAY)
        trust = kept(shown, tmp_path / "trust")
        cloud.registry.revoke("edge-1", now())
        loop = self.keeper(cloud, trust, SystemClock())

        for _ in range(3):
            loop.look()

        assert trust.badge() == shown
        told = [each for each in caplog.records if each.msg == "certificate_not_renewed"]
        assert len(told) == 1
        assert len(cloud.told(What.REFUSED)) == 3

    def test_a_node_without_one_says_what_to_do(
        self, cloud: Cloud, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Before it has joined nothing is asked of the cloud, and the log has the command."""
        trust = NodeTrust(tmp_path / "trust")

        self.keeper(cloud, trust, SystemClock()).look()

        assert "edge_gate join" in str(caplog.records[-1].__dict__)
        with pytest.raises(NoBadge, match="cloud_sync token"):
            trust.badge()


class uplinked:  # noqa: N801  # a context, as `contextlib.suppress` is
    """A node's loop that sends taps, for as long as the block runs."""

    def __init__(self, cloud: Cloud, source: Callable[[], Badge], outbox: Outbox) -> None:
        """Prepare it."""
        config = UplinkConfig(
            cloud.main, "edge-1", source, device_target=cloud.device, backoff=QUICK
        )
        loop = TapUplink(outbox, config=config, clock=SystemClock(), draw=lambda: 0.5)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=loop.run, args=(self._stop,))

    def __enter__(self) -> None:
        """Start."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()


class TestUplink:
    """Taps of a node whose certificate is not good."""

    def test_expired_taps_go_past_the_main_port_and_back(
        self, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Taps of an expired node arrive, its gallery is denied; renewed, it is as before."""
        from cloud_sync.adapters.grpc import uplink as grpc_uplink

        monkeypatch.setattr(grpc_uplink, "_PAST_MAIN_S", 0.3)
        trust = kept(cloud.badge(age=8 * DAY), tmp_path / "trust")
        outbox = outbox_of(5)
        with uplinked(cloud, trust.badge, outbox):
            until(lambda: outbox.depth() == 0)
            assert gets_gallery(cloud, trust.badge()) == "UNAVAILABLE"
            assert cloud.told(What.GRACE_TAPS)[-1] == "5 taps, certificate expired"
            past = len(cloud.told(What.GRACE_TAPS))

            renew_late(trust, target=cloud.device)
            time.sleep(0.4)
            outbox.append(tap(5))
            until(lambda: outbox.depth() == 0)

        assert len(cloud.told(What.GRACE_TAPS)) == past
        assert len(cloud.taps.stored(outbox.outbox_id)) == 6
        assert gets_gallery(cloud, trust.badge()) == {EVERYBODY[0].rider_ref}

    def test_of_a_node_that_was_moved(self, cloud: Cloud) -> None:
        """Refused at the main port, a node in time brings its taps to the device port."""
        outbox = outbox_of(2)
        with uplinked(cloud, once(cloud.badge("edge-1", DRUM)), outbox):
            until(lambda: outbox.depth() == 0)

        assert cloud.told(What.GRACE_TAPS)[-1] == "2 taps, certificate wrong_station"

    def test_nothing_is_lost_of_a_lapsed_node(self, cloud: Cloud, tmp_path: Path) -> None:
        """Past its grace the taps wait; when the node has joined anew they all arrive."""
        me = Identity(BELL, "edge-1")
        trust = kept(cloud.badge(age=40 * DAY), tmp_path / "trust")
        outbox = outbox_of(3)
        with uplinked(cloud, trust.badge, outbox):
            time.sleep(0.5)  # some attempts
            assert outbox.depth() == 3
            join(trust, me, KEY, cloud.token(me), target=cloud.device, ca=ca_of(cloud))
            until(lambda: outbox.depth() == 0)

        assert len(cloud.taps.stored(outbox.outbox_id)) == 3


class TestFolder:
    """A node's own folder of trust."""

    def test_keeps_its_key(self, tmp_path: Path) -> None:
        """The key is made once, for the owner alone, and is in no text."""
        trust = NodeTrust(tmp_path / "trust")

        assert key_to_pem(trust.key()) == key_to_pem(trust.key())
        shown = badge(key=trust.key())
        trust.save(shown.certificate, shown.trusted, shown.cloud_key)
        assert "PRIVATE" not in repr(trust.badge())

    def test_refuses_what_others_can_read(self, tmp_path: Path) -> None:
        """A key that is not private is not used."""
        trust = NodeTrust(tmp_path / "trust")
        trust.key()
        (tmp_path / "trust" / "tls.key").chmod(0o644)

        with pytest.raises(NoBadge, match="mode 644"):
            trust.key()

    def test_refuses_a_certificate_for_another_key(self, tmp_path: Path) -> None:
        """What the cloud sends must be for this node's own key, or nothing is kept."""
        trust = NodeTrust(tmp_path / "trust")
        shown = badge()

        with pytest.raises(NoBadge, match="another key"):
            trust.save(shown.certificate, shown.trusted, shown.cloud_key)
        with pytest.raises(NoBadge, match="join"):
            trust.badge()
