"""The story as a user sees it: one command, everybody fares as the script says."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.leaks import keys_below, leaks, read

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Told:
    """A story that was told to its end."""

    folder: Path
    status: int
    out: str
    err: str


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """Tell it once for all tests: `make run ARGS=--once`."""
    folder = Path(tempfile.mkdtemp(prefix="gateline-story-"))
    wanted = ("--once", "--first-port", "0", "--folder", str(folder / "story"))
    done = subprocess.run(
        (sys.executable, "-m", "tests.story", *wanted),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    yield Told(folder / "story", done.returncode, done.stdout, done.stderr)
    shutil.rmtree(folder, ignore_errors=True)


class TestStory:
    """`make run ARGS=--once`."""

    @pytest.mark.timeout(400)
    def test_everybody_fares_as_the_script_says(self, told: Told) -> None:
        """The whole way from enrollment to charge works, with real processes and models."""
        assert told.status == 0, told.out[-4000:] + told.err[-2000:]
        assert "everybody fared as the script says" in told.out

    @pytest.mark.timeout(400)
    def test_no_log_holds_a_key_a_face_or_a_photo(self, told: Told) -> None:
        """Cloud, app, nodes, worker, bank and office: no line of any of them gives one away."""
        secrets = keys_below(told.folder)
        assert len(secrets) >= 5  # root key, rotation, the cloud's own, two nodes'
        photos = [path for path in (told.folder / "photos").rglob("*") if path.is_file()]
        assert photos
        secrets |= {str(path): path.read_bytes()[256:] for path in photos}
        logs = {path.name: read(path) for path in (told.folder / "logs").glob("*.log")}
        assert {"cloud.log", "app.log", "worker.log"} < set(logs)
        assert all('"event"' in text for text in logs.values())

        shown = {name: leaks(text, secrets) for name, text in logs.items()}

        assert {name: what for name, what in shown.items() if what} == {}
        planted = logs["app.log"] + next(iter(secrets.values())).hex()
        assert leaks(planted, secrets)  # the control
