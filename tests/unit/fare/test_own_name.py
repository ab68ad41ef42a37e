"""By which names pages may be asked for: a foreign name is another site's (DNS rebinding)."""

import asyncio

import httpx
import pytest

from fare.adapters.memory import MemoryStore
from fare.adapters.memory_statements import MemoryStatements
from fare.city import shipped
from fare.pages import goes_by
from fare.web import create_app

OURS = frozenset({"office.example"})


class TestGoesBy:
    """`goes_by`."""

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "127.0.0.1:8091",
            "[::1]:8091",
            "[::1]",
            "LocalHost:1",
            "office.example",
            "Office.Example:443",
        ],
    )
    def test_addresses_and_known_names_are_ours(self, host: str) -> None:
        """No page of another site can have an address, localhost or a known name as its own."""
        assert goes_by(host, OURS)

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "[::1",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "office.example.evil.example",
            "evil.example:127.0.0.1",
        ],
    )
    def test_others_are_not(self, host: str) -> None:
        """A name that anybody can point at this machine is not believed."""
        assert not goes_by(host, OURS)


class TestBackOffice:
    """The books, asked for under a foreign name."""

    @pytest.mark.parametrize(
        ("host", "path", "status"),
        [
            ("evil.example", "/", 421),
            ("evil.example", "/money.json", 421),
            ("evil.example", "/ledger", 421),
            ("evil.example", "/events", 421),
            ("office.example", "/money.json", 200),
        ],
    )
    def test_no_other_site_reads_the_books(self, host: str, path: str, status: int) -> None:
        """A page of another site, open on a clerk's machine, sees no rider's trips."""
        app = create_app(MemoryStatements(MemoryStore()), shipped(), names=OURS)

        async def asked() -> int:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as browser:
                return (await browser.get(path, headers={"Host": host})).status_code

        assert asyncio.run(asked()) == status
