"""The engine that every package uses."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from fare.adapters import database


class TestConnect:
    """`connect`."""

    def test_an_error_does_not_quote_what_was_sent(self, engine: sa.Engine) -> None:
        """A template or photo on its way into the database never comes out in an error's words."""
        statement = sa.text("INSERT INTO nowhere (vector) VALUES (:vector)")
        secret = {"vector": b"sixteen features"}

        with pytest.raises(sa.exc.ProgrammingError) as caught, engine.begin() as connection:
            connection.execute(statement, secret)

        assert "nowhere" in str(caught.value)
        assert "sixteen features" not in str(caught.value)


class TestPrivateServer:
    """`private_server`."""

    @pytest.mark.parametrize("name", ["My Gate", "50% + 'more' & $HOME"])
    def test_runs_below_any_name(self, open_folder: Path, name: str) -> None:
        """A repository may lie in a folder whose name a shell or a URL would take apart."""
        folder = open_folder / name / "postgres"

        server = database.private_server(folder)
        try:
            engine = database.connect(str(server.get_uri()))
            with engine.connect() as connection:
                there = connection.execute(sa.text("SHOW data_directory")).scalar_one()
            engine.dispose()
        finally:
            server.cleanup()

        assert Path(there).resolve() == folder.resolve()
        assert (folder / "PG_VERSION").is_file()
