"""The story as a user sees it: one command, everybody fares as the script says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class TestStory:
    """`make run ARGS=--once`."""

    @pytest.mark.timeout(240)
    def test_everybody_fares_as_the_script_says(self, open_folder: Path) -> None:
        """The whole way from enrollment to charge works, with real processes and models."""
        told = subprocess.run(
            (sys.executable, "-m", "tests.story", "--once", "--folder", str(open_folder / "story")),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=230,
            check=False,
        )

        assert told.returncode == 0, told.stdout[-4000:] + told.stderr[-2000:]
        assert "everybody fared as the script says" in told.stdout
