"""A database of a bench's own: riders of a bench have no place among real ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from cloud_sync.adapters.postgres.view_log import VERSIONS
from fare.adapters import database


@contextmanager
def own_database(engine: sa.Engine, name: str) -> Iterator[sa.Engine]:
    """Yield an engine on a migrated database that is there as long as the bench.

    Args:
        engine: The server to make it on.
        name: Of the database; whatever has that name is dropped.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: It could not be made.
    """
    admin = engine.execution_options(isolation_level="AUTOCOMMIT")
    drop = sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    with admin.connect() as connection:
        connection.execute(drop)
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    own = sa.create_engine(engine.url.set(database=name))
    try:
        database.migrate(own, "cloud_sync", VERSIONS)
        yield own
    finally:
        own.dispose()
        with admin.connect() as connection:
            connection.execute(drop)
