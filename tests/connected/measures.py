"""The promises of a connected city, one measurement each."""

import contextlib
import itertools
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cloud_sync.content import Space
from cloud_sync.master.presence import Look, Outcome
from cloud_sync.trust.device import Identity
from edge_gate.adapters.pack import open_eye
from models import manifest
from tests.connected.crowd import Follower, all_hold
from tests.connected.figures import Figure
from tests.connected.site import Gate, Site, everywhere
from tests.people import portraits
from tests.proxy import is_open
from tests.story.app import Phone

_ENROLLED_P95_S, _GONE_P99_S = 2.0, 10.0
_PRESENCE_P95_S = 0.5
_HALF_OPEN_S = 15.0
_MODELS = Path(__file__).parents[2] / "models" / "files"
_PATIENCE_S = 60.0
_RESYNC_S = 5.0
_FIRST_MATCH_S = 5.0


def reach(site: Site, *, rounds: int) -> tuple[Figure, Figure]:
    """Let people enroll and withdraw in the app, and look when each gate knows and forgets them.

    Args:
        site: Running, with nobody enrolled.
        rounds: How many people, from 1.
    """
    enrolled_s: list[float] = []
    gone_s: list[float] = []
    for name, portrait in itertools.islice(itertools.cycle(portraits().items()), rounds):
        with contextlib.closing(Phone(site.app_url, name)) as phone:
            phone.sign_up("wallet")
            phone.consent_all()
            began_s = time.monotonic()
            phone.give_photo(portrait)
            enrolled_s += [at_s - began_s for at_s in everywhere(site.gates, 1)]
            began_s = time.monotonic()
            phone.withdraw()
            gone_s += [at_s - began_s for at_s in everywhere(site.gates, 0)]
    remark = f"{rounds} people at {len(site.gates)} nodes"
    return (
        Figure("photo sent to matchable", enrolled_s, _ENROLLED_P95_S, 0.95, remark=remark),
        Figure("withdrawal sent to unusable", gone_s, _GONE_P99_S, 0.99, remark=remark),
    )


def presence(site: Site) -> Figure:
    """Let an entrance of each station see people come, and look when its gate holds them.

    Nobody is in a view without it: more riders are enrolled than the budget has places.

    Args:
        site: Running, with nobody enrolled; so it is left.
    """
    eye = open_eye("open", _MODELS)
    people = portraits()
    with contextlib.ExitStack() as phones:
        for name, portrait in people.items():
            phone = phones.enter_context(contextlib.closing(Phone(site.app_url, name)))
            phone.sign_up("wallet")
            phone.enroll_face(portrait)
            phones.callback(phone.withdraw)
        phones.enter_context(site.generated_riders(len(people) + 1, eye.embedder.model_id))
        for station, gate in site.gates.items():
            most = str(len(people))
            site.stage.once("cloud_sync", "budget", station,
                            "--first", most, "--first-max", most, "--second", "0")  # fmt: skip
            phones.callback(site.stage.once, "cloud_sync", "budget", station, "--clear")
            gate.holds(0)
        reached_s: list[float] = []
        for gate in site.gates.values():
            entrance = site.entrance(gate)
            for number, portrait in enumerate(people.values(), start=1):
                vector = eye.embedding(portrait, eye.detector.detect(portrait)[0])
                began_s = time.monotonic()
                outcome = entrance.identify(Look(vector, eye.embedder.model_id, "plain"))
                if outcome is not Outcome.ACCEPTED:
                    raise RuntimeError(f"the cloud answered {outcome}")
                reached_s.append(gate.holds(number) - began_s)
            entrance.close()
    everywhere(site.gates, 0)
    remark = f"{len(people)} people at {len(site.gates)} entrances"
    return Figure("look sent to template at gate", reached_s, _PRESENCE_P95_S, 0.95, "s", remark)


def half_open(site: Site, *, times: int = 1) -> tuple[Figure, Figure]:
    """Freeze a node's line without closing it, and look when either end gives it up.

    Args:
        site: Running.
        times: How often, from 1.
    """
    gate = next(iter(site.gates.values()))
    edge_s: list[float] = []
    cloud_s: list[float] = []
    whole = len(gate.line.ends())
    for _ in range(times):
        ends_s = time.monotonic() + _PATIENCE_S
        while len(gate.line.ends()) < whole and time.monotonic() < ends_s:
            time.sleep(0.05)
        time.sleep(1)  # whatever is being dialled is there
        ends = gate.line.ends()
        near, far = [near for near, _ in ends], [far for _, far in ends]
        began_s = time.monotonic()
        gate.line.freeze()
        given_up = _closed(near, far)
        edge_s.append(given_up[0] - began_s)
        cloud_s.append(given_up[1] - began_s)
        gate.line.thaw()
        gate.until(lambda told: bool(told["leased"]))
    return (
        Figure("half-open line given up by the node", edge_s, _HALF_OPEN_S),
        Figure("half-open line given up by the cloud", cloud_s, _HALF_OPEN_S),
    )


def _closed(*groups: Sequence[socket.socket]) -> list[float]:
    """Wait until the far sides have closed all of each group; return when, monotonic seconds.

    Raises:
        TimeoutError: One has not.
    """
    ends_s = time.monotonic() + _PATIENCE_S
    closed_s: dict[int, float] = {}
    while len(closed_s) < len(groups):
        now_s = time.monotonic()
        for number, group in enumerate(groups):
            if not any(is_open(end) for end in group):
                closed_s.setdefault(number, now_s)
        if now_s > ends_s:
            raise TimeoutError("a frozen line was not given up")
        time.sleep(0.01)
    return [closed_s[number] for number in range(len(groups))]


def resync(site: Site, *, count: int, times: int) -> tuple[Figure, Figure]:
    """Let a node fetch a whole view anew while somebody walks through its gate again and again.

    Args:
        site: Running; everybody of whom it has a photo is enrolled.
        count: Generated templates in the view of the first station.
        times: How often, from 1.
    """
    gate = next(iter(site.gates.values()))
    took_s: list[float] = []
    site.fill(gate.station, count)
    whole = count + len(site.photos)
    gate.holds(whole, patience_s=120)
    while gate.seals.get(timeout=120) < count:
        pass  # the index is built off the hot path; a resync right after it is not what is asked
    gate.line.come_near()
    while not gate.line.ends():
        time.sleep(0.05)
    time.sleep(3)  # it follows again
    with _walking(gate, site.photos) as deciding_ms:
        ends_s = time.monotonic() + 30
        while not deciding_ms and time.monotonic() < ends_s:
            time.sleep(0.05)
        meanwhile: list[float] = []
        for _ in range(times):
            before = len(deciding_ms)
            while not gate.loads.empty():
                gate.loads.get_nowait()
            began_s = site.renew_epoch(gate.station)
            done_s, held = gate.loads.get(timeout=120)
            took_s.append(done_s - began_s)
            meanwhile += deciding_ms[before:]
            if held != whole:
                raise RuntimeError(f"{held} templates came instead of {whole}")
            time.sleep(8)  # its digest is compared, its index is built
    return (
        Figure(f"full resync of {count:,} on loopback", took_s, _RESYNC_S),
        Figure("deciding frame to open meanwhile", meanwhile, None, unit="ms"),
    )


@contextlib.contextmanager
def _walking(gate: Gate, photos: Mapping[str, Path]) -> Iterator[list[float]]:
    """Let one after the other walk through a gate; gives the milliseconds of each decision."""
    stop, deciding_ms = threading.Event(), []

    def walk() -> None:
        # In turn: who has just passed is not asked for again at once.
        for number, who in enumerate(itertools.cycle(photos)):
            if stop.is_set():
                return
            name = f"{who}-{number}"
            gate.walk(name, photos[who])
            with contextlib.suppress(TimeoutError):
                line = gate.decision(patience_s=15)
                if line.get("outcome") == "grant":
                    deciding_ms.append(float(str(line["deciding_frame_to_open_ms"])))
            gate.leave(name)

    thread = threading.Thread(target=walk, daemon=True)
    thread.start()
    try:
        yield deciding_ms
    finally:
        stop.set()
        thread.join(40)


def restart(site: Site, *, times: int) -> tuple[Figure, Figure]:
    """Kill a node whose gallery is full while a rider stands there; wait until the gate opens.

    Args:
        site: Running; Eileen is among those enrolled, the first station's view is full.
        times: How often, from 1.
    """
    gate = next(iter(site.gates.values()))
    opened_s: list[float] = []
    loaded_s: list[float] = []
    count = int(gate.gallery()["templates"])
    for number in range(times):
        name = f"waiting-{number}"
        actor = site.stage.actors[gate.station]
        actor.kill()
        while not gate.decisions.empty():
            gate.decisions.get_nowait()
        while not gate.loads.empty():
            gate.loads.get_nowait()
        gate.walk(name, site.photos["Eileen"])
        while actor.process is None or actor.process.poll() is not None:
            time.sleep(0.005)
        began_s = time.monotonic()
        at_s, _ = gate.loads.get(timeout=60)
        loaded_s.append(at_s - began_s)
        while gate.decision(patience_s=60).get("outcome") != "grant":
            pass
        opened_s.append(time.monotonic() - began_s)
        gate.leave(name)
    name = f"process start to first open, {count:,} held"
    return (
        Figure(name, opened_s, _FIRST_MATCH_S),
        Figure("of it, to the gallery in hand", loaded_s, None),
    )


def crowd(site: Site, *, nodes: int, templates: int) -> tuple[Figure, Figure, Figure]:
    """Let many nodes of the last station come at once, and come back at once after a cut.

    Args:
        site: Running.
        nodes: How many, in this process.
        templates: In the station's view.
    """
    gate = list(site.gates.values())[-1]
    folder = site.folder / "crowd"
    pack = manifest.pack("open")
    space = Space(f"{pack.space}@{pack.files['embedder'].sha256[:12]}")
    names = [f"crowd-{number}" for number in range(nodes)]
    pairs = [word for name in names for word in (gate.station, name)]
    tokens = site.stage.once("cloud_sync", "token", *pairs).split()
    ca = site.authority.read_bytes()
    followers = [
        Follower(Identity(gate.station, name), token, folder=folder / name, ca=ca)
        for name, token in zip(names, tokens, strict=True)
    ]
    folder.mkdir()
    for one in followers:
        one.join(f"127.0.0.1:{site.device_port}")
    site.fill(gate.station, templates)
    held = int(gate.gallery()["templates"])
    gate.until(lambda told: told["templates"] >= templates)
    held = int(gate.gallery()["templates"])
    before_mb = site.resident_mb("cloud")
    began_s = time.monotonic()
    for one in followers:
        one.follow(f"127.0.0.1:{gate.line.port}", space)
    first_s = all_hold(followers, held, patience_s=120) - began_s
    fresh_mb = site.resident_mb("cloud") - before_mb
    gate.line.cut()
    began_s = time.monotonic()
    site.fill(gate.station, templates + 1)  # one more than before: who holds it is back
    again_s = all_hold(followers, held + 1, patience_s=120) - began_s
    grown_mb = site.resident_mb("cloud") - before_mb
    for one in followers:
        one.stop()
    for one in followers:
        one.wait()
    shutil.rmtree(folder)
    return (
        Figure(f"{nodes} new nodes, {templates:,} templates each", [first_s], None),
        Figure(f"{nodes} nodes back at once", [again_s], None, remark="with one template more"),
        Figure("memory of the cloud, more", [fresh_mb, grown_mb], 500.0, unit="MB"),
    )
