"""What the documents say is checked against the code."""

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from cloud_sync.adapters.console.metrics import FleetCollector, exposition
from cloud_sync.adapters.console.view_metrics import ViewCollector
from cloud_sync.adapters.memory.fleet import MemoryFleetLog
from cloud_sync.adapters.memory.view_log import MemoryViewLog
from cloud_sync.fleet.findings import Finding
from edge_gate.reason import DenyReason
from edge_gate.screen import MESSAGES
from tests.sim.controls import CONTROLS

ROOT = Path(__file__).parents[2]


def _direct_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    return {re.split(r"[\[<>=~! ]", text, maxsplit=1)[0] for text in wanted}


class TestLicences:
    """docs/licences.md."""

    def test_every_direct_dependency_has_its_licence_written_down(self) -> None:
        """No dependency comes in without a line about its licence."""
        words = set(re.findall(r"[a-z0-9-]+", (ROOT / "docs" / "licences.md").read_text().lower()))

        assert _direct_dependencies() - words == set()


class TestLock:
    """requirements.lock."""

    def test_every_direct_dependency_is_pinned_with_hashes(self) -> None:
        """A fresh machine installs exactly the versions that were tested."""
        lock = (ROOT / "requirements.lock").read_text()
        pinned = set(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==", lock, re.MULTILINE))

        assert _direct_dependencies() - pinned == set()
        assert lock.count("--hash=sha256:") > len(pinned)


class TestSizes:
    """The style page's limits."""

    def test_no_module_grows_past_500_lines(self) -> None:
        """A module of 500 lines holds more than one idea."""
        packages = ("edge_gate", "cloud_sync", "enroll", "fare", "models")
        sizes = {
            path.relative_to(ROOT): len(path.read_text().splitlines())
            for package in packages
            for path in (ROOT / package).rglob("*.py")
        }

        assert {str(path): size for path, size in sizes.items() if size > 500} == {}


class TestReasons:
    """docs/reasons.md."""

    def test_every_reason_stands_there_with_the_words_on_the_screen(self) -> None:
        """Staff who read a reason in a log find it, and what the rider was told."""
        page = (ROOT / "docs" / "reasons.md").read_text()

        missing = [
            reason.value
            for reason in DenyReason
            if f"| `{reason.value}` |" not in page or MESSAGES[reason][2] not in page
        ]

        assert missing == []


def _now() -> datetime:
    return datetime.now(UTC)


class TestFleet:
    """docs/fleet.md."""

    def test_every_finding_stands_there(self) -> None:
        """An operator who reads a finding knows from where on it is one."""
        page = (ROOT / "docs" / "fleet.md").read_text()

        assert [one.value for one in Finding if f"| `{one.value}` |" not in page] == []

    def test_every_metric_stands_there(self) -> None:
        """Whoever draws a dashboard finds each name, and no name that is not served."""
        views = MemoryViewLog(lambda: UUID(int=1))
        fleet = MemoryFleetLog(views)
        of_views = ViewCollector(lambda _: (), lambda: (), clock=_now)
        served = exposition((FleetCollector(fleet, clock=_now), of_views)).decode()
        names = set(re.findall(r"# HELP (\w+)", served))
        page = (ROOT / "docs" / "fleet.md").read_text()

        assert set(re.findall(r"^\| `(gateline_\w+)`", page, re.MULTILINE)) == names


class TestFaults:
    """docs/faults.md."""

    def test_every_test_that_a_row_names_exists(self) -> None:
        """A reader who wants to see a fault caused finds the test that causes it."""
        page = (ROOT / "docs" / "faults.md").read_text()
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)

        missing = [
            f"{path}::{name}"
            for path, name in named
            if f"def {name}(" not in (ROOT / path).read_text()
        ]

        assert missing == []
        assert len(named) > 40
        assert page.count("::") == len(named)

    def test_all_rows_are_there(self) -> None:
        """The table has the thirty rows of the specification, in order."""
        page = (ROOT / "docs" / "faults.md").read_text()

        assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == [str(n) for n in range(1, 31)]

    def test_rows_have_their_controls(self) -> None:
        """What guards galleries, taps and trust has a control, and each that is named exists."""
        page = (ROOT / "docs" / "faults.md").read_text()
        rows = dict(re.findall(r"^\| (\d+) \|(.*)$", page, re.MULTILINE))
        guarded = [*range(3, 13), *range(15, 18), *range(20, 27)]

        assert [number for number in guarded if "control" not in rows[str(number)]] == []
        assert set(re.findall(r'"([^"]+)"', " ".join(rows.values()))) <= set(CONTROLS)


class TestArchitecture:
    """docs/architecture.md and the pages beside it."""

    def test_every_file_that_a_page_names_exists(self) -> None:
        """A reader who follows a page's path to a test, a module or a page finds it."""
        named = {
            (page.name, path)
            for page in (ROOT / "docs").rglob("*.md")
            for path in re.findall(r"`((?:tests|\w+)/[\w/]+\.(?:py|md|css))`", page.read_text())
        }
        linked = {
            (page.name, str((page.parent / path).relative_to(ROOT)))
            for page in (ROOT / "docs").rglob("*.md")
            for path in re.findall(r"\]\(([\w/]+\.\w+)\)", page.read_text())
        }

        assert {one for one in named | linked if not (ROOT / one[1]).is_file()} == set()
        assert len(named) > 20
        assert len(linked) > 5

    def test_every_page_is_linked(self) -> None:
        """No page of the docs is an orphan."""
        page = (ROOT / "docs" / "architecture.md").read_text()
        pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"architecture.md"}

        assert {name for name in pages if f"]({name})" not in page} == set()


class TestCommands:
    """The Makefile."""

    def test_every_target_says_what_it_does(self) -> None:
        """`make help` lists every target."""
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        described = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)

        assert targets == described
