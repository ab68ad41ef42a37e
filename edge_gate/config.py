"""One TOML file in, one checked `StationConfig` out; nothing else in the node reads settings.

Tables: `[station]` (what `StationConfig` lists), one `[[lane]]` a lane, and `[stages...]`, which
may set any field of any stage's own configuration, e.g. `[stages.face.approach]`.
"""

import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from cloud_sync.calibration import OpeningConfig
from edge_gate.entrance import EntranceConfig
from edge_gate.holdings import TiersConfig
from edge_gate.pipeline import LaneConfig
from fare.tap import Direction


class ConfigWrong(Exception):
    """The file cannot be used; says which key and why."""


class LaneRole(StrEnum):
    """What stands behind a camera."""

    GATE = "gate"
    """A barrier: people are let through."""
    ENTRANCE = "entrance"
    """None: whoever comes is made known to the station's gates ahead, and nobody is answered."""


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """One lane, as the file has it."""

    id: str
    """The lane's name within the station, as it stands in taps."""
    direction: Direction
    """`entry` or `exit`."""
    camera: str
    """Where frames come from: webcam index, URL, file, folder, scene, or `push` for frames that
    a browser sends."""
    code_camera: str = ""
    """A camera for codes alone; empty when the lane's camera reads them too."""
    zone: tuple[tuple[float, float], ...] = ()
    """Corners of the zone, shares of the picture; empty for the stages' own. An entrance's is
    the marked ground on which people agree to be seen."""
    role: LaneRole = LaneRole.GATE
    """`gate`, or `entrance` for a camera without a barrier, which needs `presence`."""


@dataclass(frozen=True, slots=True)
class StationConfig:
    """One station node."""

    station_id: str
    """Stop id, as in the tariff's network."""
    edge_id: str
    """The node's name, as in its bootstrap token and then in its certificate."""
    data_dir: Path
    """Folder of outbox, gallery replica, node key and trust; made if missing."""
    cloud: str
    """Address of the cloud's main port, HOST:PORT; empty runs without a cloud."""
    cloud_devices: str = ""
    """Address of the cloud's device port, HOST:PORT; if empty, the port after that of `cloud`."""
    listen: str = "127.0.0.1:8080"
    """Where the node's own pages are served, HOST:PORT."""
    listen_names: tuple[str, ...] = ()
    """Host names under which those pages may be asked for, beside addresses and localhost; any
    other name is another site's that was made to point here."""
    name: str = ""
    """The station's name for people; the id if empty."""
    model_pack: str = "open"
    """The pack of models, as in models/manifest.toml."""
    accept_noncommercial: bool = False
    """Whether the operator accepts weights whose licence forbids commerce."""
    model_threads: int = 1
    """Threads of one inference, 1 to 16."""
    target_fpir: float = 1e-2
    """Share of strangers' approaches that may open wrongly, above 0, below 1; with the gallery's
    size it makes the threshold (`cloud_sync.calibration`)."""
    second_tier_share: float = 0.2
    """The part of `target_fpir` that the second tier's search may use, above 0, below 1; the first
    tier has the rest, and all of it where no second tier opens (`edge_gate.holdings`)."""
    fnir_limit: float = 0.2
    """Largest expected share of riders sent to the code reader, 0.005 to 0.5; with more, no face
    opens at this station."""
    keep_taps_days: int = 30
    """How long acknowledged taps stay in the outbox, days, 7 to 3,650: the cloud may ask for them
    again after it has lost some."""
    show_pictures: bool = False
    """Whether the staff page shows the lanes' pictures, from memory, never stored. Off: whoever
    runs a demonstration switches it on."""
    accept_push: bool = False
    """Whether lanes whose camera is `push` take frames from a browser; demonstrations only."""
    presence: bool = False
    """Whether entrance cameras send looks to the cloud. Off: an operator switches it on where its
    profile allows it, in the cloud too."""
    lanes: tuple[LaneSpec, ...] = ()
    """At least one."""
    entrance: EntranceConfig = field(default_factory=EntranceConfig)
    """What every stage of every entrance goes by."""
    stages: LaneConfig = field(default_factory=LaneConfig)
    """What every stage of every lane goes by."""

    def __post_init__(self) -> None:
        """Check what the stages cannot check for themselves.

        Raises:
            ValueError: A value is out of range or two lanes share an id.
        """
        if not self.lanes:
            raise ValueError("a station needs at least one [[lane]]")
        if len({lane.id for lane in self.lanes}) != len(self.lanes):
            raise ValueError("two lanes have the same id")
        if self.entrances and not (self.presence and self.cloud):
            raise ValueError("an entrance needs presence = true, and a cloud")
        OpeningConfig(self.target_fpir, self.fnir_limit)
        TiersConfig(self.target_fpir, self.second_tier_share)
        if not 1 <= self.model_threads <= 16:
            raise ValueError("model_threads is 1 to 16")
        for address in (self.cloud, self.cloud_devices):
            if address and not address.rpartition(":")[2].isdecimal():
                raise ValueError("cloud and cloud_devices are HOST:PORT")
        if not 7 <= self.keep_taps_days <= 3_650:
            raise ValueError("keep_taps_days is 7 to 3,650")

    @property
    def tiers(self) -> TiersConfig:
        """The promise to strangers, and its split."""
        return TiersConfig(self.target_fpir, self.second_tier_share)

    @property
    def device_port(self) -> str:
        """Where the node joins, HOST:PORT, and goes with an expired certificate."""
        if self.cloud_devices or not self.cloud:
            return self.cloud_devices
        host, _, port = self.cloud.rpartition(":")
        return f"{host}:{int(port) + 1}"

    @property
    def gates(self) -> tuple[LaneSpec, ...]:
        """The lanes with a barrier."""
        return tuple(lane for lane in self.lanes if lane.role is LaneRole.GATE)

    @property
    def entrances(self) -> tuple[LaneSpec, ...]:
        """The cameras without one."""
        return tuple(lane for lane in self.lanes if lane.role is LaneRole.ENTRANCE)

    def entrance_config(self, lane: LaneSpec) -> EntranceConfig:
        """Return the stages' configuration with the entrance's own zone in it."""
        if not lane.zone:
            return self.entrance
        return replace(self.entrance, intent=replace(self.entrance.intent, zone=lane.zone))

    def lane_config(self, lane: LaneSpec) -> LaneConfig:
        """Return the stages' configuration with the lane's own zone in it."""
        if not lane.zone:
            return self.stages
        intent = replace(self.stages.face.intent, zone=lane.zone)
        return replace(self.stages, face=replace(self.stages.face, intent=intent))


def parse(text: str, *, folder: Path) -> StationConfig:
    """Read a station's configuration.

    Args:
        text: TOML.
        folder: Relative `data_dir` and camera paths are taken from here.

    Raises:
        ConfigWrong: Not TOML, an unknown key, a wrong type, or a value out of range.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigWrong(f"not TOML: {error}") from error
    given = table.pop("station", {})
    if not isinstance(given, dict):
        raise ConfigWrong("station: a table is needed")
    station = dict(given)
    station["lanes"] = table.pop("lane", [])
    station["stages"] = table.pop("stages", {})
    if table:
        raise ConfigWrong(f"unknown: {', '.join(sorted(table))}")
    config: StationConfig = _build(StationConfig, station, "station")
    return replace(config, data_dir=folder / config.data_dir)


def _build(kind: Any, table: Any, where: str) -> Any:
    """Make a dataclass from a table, its fields by their annotations."""
    if not isinstance(table, Mapping):
        raise ConfigWrong(f"{where}: a table is needed")
    hints = get_type_hints(kind)
    unknown = set(table) - {f.name for f in fields(kind)}
    if unknown:
        raise ConfigWrong(f"{where}: unknown {', '.join(sorted(unknown))}")
    values = {key: _value(hints[key], value, f"{where}.{key}") for key, value in table.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigWrong(f"{where}: {error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if is_dataclass(hint):
        return _build(hint, value, where)
    if get_origin(hint) is tuple:
        return _tuple(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and issubclass(hint, Enum) and isinstance(value, str):
        try:
            return hint(value)
        except ValueError as error:
            allowed = ", ".join(str(member.value) for member in hint)
            raise ConfigWrong(f"{where}: {value!r} is none of {allowed}") from error
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigWrong(f"{where}: {hint.__name__} is needed, not {value!r}")
    return value


def _tuple(hint: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ConfigWrong(f"{where}: a list is needed")
    kinds = get_args(hint)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ConfigWrong(f"{where}: {len(kinds)} values are needed")
    pairs = zip(kinds, value, strict=True)
    return tuple(_value(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(pairs))
