"""The engine that every package uses."""

import pytest
import sqlalchemy as sa


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
