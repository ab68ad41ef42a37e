"""What tests share: a real PostgreSQL with a migrated database a test, and a fixed clock."""

import atexit
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud_sync.adapters.postgres.view_log import VERSIONS as CLOUD_VERSIONS
from enroll.adapters.postgres import VERSIONS as ENROLL_VERSIONS
from fare.adapters import database
from fare.adapters.postgres import VERSIONS as FARE_VERSIONS
from tests import keys
from tests.vaults import remove_below

_NUMBERS = itertools.count()
_MEMORY = Path("/dev/shm")  # a folder of random name is made in it
_ROOM_BYTES = 2 << 30  # a run needs 0.5 GiB; containers often have but 64 MiB here
_HAS_ROOM = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
_SAFE = keys.SAFE  # its import gives all processes of the run one folder of keys


_LONGEST_FIRST = (
    "story/test_chaos.py",
    "e2e/test_sync.py",
    "sim/test_sim.py",
    "story/test_story.py",
    "power/test_power_cut.py",
    "connected/test_connected.py",
    "e2e/test_sync_command.py",
    "property/test_sync_model.py",
    "property/test_crash.py",
    "unit/edge_gate/test_evaluate.py",
)
"""Where a file goes to one worker as a whole, one that takes minutes must not be the last.

A worker with a single test before it is given the next free file at once, the fourth: thus the
stories follow each other, and what runs beside them takes one core.
"""


def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests' own folders in memory, too: most write files that they wait for."""
    if _HAS_ROOM and config.option.basetemp is None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; all others stay in their order."""
    root = Path(__file__).parent
    ranks = {root / name: rank for rank, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def _own_folder() -> Path:
    """Make a folder for a PostgreSQL, removed when the run ends.

    In memory where there is room: making and dropping a database writes and deletes hundreds of
    files, and a disk takes longer for that than most tests for all else.

    Not below pytest's own folder: each run that starts closes that to other users, and under root
    the server runs as a user of its own. Registered first, the removal comes last.
    """
    folder = tempfile.mkdtemp(prefix="gateline-test-", dir=_MEMORY if _HAS_ROOM else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def _no_vault_stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clear away what the run's nodes leave in shared memory."""
    yield
    remove_below(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """Start one private PostgreSQL for the whole test run.

    It writes without waiting for the disk, an eighth of the time of a commit: tests kill our
    processes, never this server, so what it promises them does not change.
    """
    url = database.start_private(_own_folder())
    admin = database.connect(url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(sa.text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(sa.text("SELECT pg_reload_conf()"))
    admin.dispose()
    return url


@pytest.fixture
def open_folder() -> Path:
    """Give an empty folder that a PostgreSQL of the test's own may live in."""
    return _own_folder()


@contextmanager
def _database(server: str, name: str, template: str) -> Iterator[str]:
    """Make a database as another one is, and drop it afterwards."""
    admin = database.connect(server).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield server.replace("/postgres?", f"/{name}?")
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(scope="session")
def _migrated(postgres_url: str) -> Iterator[str]:
    """Carry out all migrations once; a copy costs a quarter of what they do."""
    with _database(postgres_url, "migrated", "template1") as url:
        engine = database.connect(url)
        database.migrate(engine, "fare", FARE_VERSIONS)
        database.migrate(engine, "cloud_sync", CLOUD_VERSIONS)
        database.migrate(engine, "enroll", ENROLL_VERSIONS)
        engine.dispose()  # what is in use cannot be copied
        yield "migrated"


@pytest.fixture
def _own_ledger(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes of the test keep its ledger of erasures by themselves.

    Another test's would be carried out in this test's database.
    """
    monkeypatch.setenv("GATELINE_LEDGER", str(tmp_path_factory.mktemp("ledger")))


@pytest.fixture
def empty_url(postgres_url: str, _own_ledger: None) -> Iterator[str]:
    """Make a database without any schema, for a test of the migrations or of their absence."""
    with _database(postgres_url, f"test_{next(_NUMBERS)}", "template1") as url:
        yield url


@pytest.fixture
def database_url(postgres_url: str, _migrated: str, _own_ledger: None) -> Iterator[str]:
    """Make a database for one test, as it is after the migrations of all packages."""
    with _database(postgres_url, f"test_{next(_NUMBERS)}", _migrated) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """Give an engine on this test's own database."""
    engine = database.connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def empty(empty_url: str) -> Iterator[sa.Engine]:
    """Give an engine on a database without any schema."""
    engine = database.connect(empty_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def _cloud(postgres_url: str, _migrated: str) -> Iterator[sa.Engine]:
    """Make one database for all tests of the schema `cloud_sync` that empty it themselves."""
    with _database(postgres_url, "cloud", _migrated) as url:
        engine = database.connect(url)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA fresh"))
            for name in _tables(connection):
                made = f"CREATE TABLE fresh.{name} AS TABLE cloud_sync.{name}"
                connection.execute(sa.text(made))
        yield engine
        engine.dispose()


def _tables(connection: sa.Connection) -> list[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'cloud_sync'"
    found = connection.execute(sa.text(query)).scalars()
    return sorted(name for name in found if name != "alembic_version")


@pytest.fixture
def cloud(_cloud: sa.Engine) -> sa.Engine:
    """Give an engine on a schema `cloud_sync` as after its migrations, without making it anew."""
    with _cloud.begin() as connection:
        tables = _tables(connection)
        again = [f"DELETE FROM cloud_sync.{name};" for name in tables]
        again += [
            f"INSERT INTO cloud_sync.{name} OVERRIDING SYSTEM VALUE SELECT * FROM fresh.{name};"
            for name in tables
        ]
        # Foreign keys are the same afterwards; meanwhile the order does not matter.
        line = "SET LOCAL session_replication_role = replica; " + " ".join(again)
        connection.exec_driver_sql(line)
    return _cloud


@pytest.fixture
def noon() -> datetime:
    """Give a fixed moment: 2026-05-04 12:00 in UTC, a Monday."""
    return datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def lfw() -> Path:
    """Give the folder of real faces for measurements, or skip where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "faces"
    if not (folder / "riders").is_dir():
        pytest.skip("needs the shared folder of real faces (data/faces)")
    return folder
