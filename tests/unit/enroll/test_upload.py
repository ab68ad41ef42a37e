"""Uploads stay in memory."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import HTTPException, Request
from starlette.types import Message

from enroll.web import upload

LARGE = bytes(range(256)) * 12_000  # 3 MB: three times what the usual parser keeps in memory


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[list[str]]:
    """List every file that the process opens in its folder for temporary files."""
    seen: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open" and str(arguments[0]).startswith(str(tmp_path)):
            seen.append(str(arguments[0]))

    sys.addaudithook(hook)  # cannot be removed, only told to look away
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path)
    yield seen
    tempfile.tempdir = before
    watching = False


def request(content: bytes, *, field: str = "photo", chunk: int = 100_000) -> Request:
    """Give a request that uploads one file, arriving in chunks."""
    head = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="a"\r\n\r\n'
    body = head.encode() + content + b"\r\n--x--\r\n"
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)]

    async def receive() -> Message:
        part = chunks.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(chunks)}

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def read(made: Request, bytes_max: int = 10_000_000) -> bytes | None:
    """Read the photo."""
    return asyncio.run(upload.photo(made, bytes_max=bytes_max))


class TestPhoto:
    """One bounded file."""

    def test_no_file_is_written(self, opened: list[str]) -> None:
        """A photo of 3 MB is read without a file being opened."""
        assert read(request(LARGE)) == LARGE
        assert opened == []

    def test_usual_parser_would_write(self, opened: list[str]) -> None:
        """The control: the framework's own parser opens a file for the same upload."""

        async def usual() -> None:
            form = await request(LARGE).form()
            await form.close()

        asyncio.run(usual())
        assert opened

    @pytest.mark.parametrize("chunk", [7, 1_000, 10_000_000])
    def test_limit(self, chunk: int) -> None:
        """A file of exactly the limit is read, one byte more is not, however it arrives."""
        content = b"\r\n--y" * 1_000
        assert read(request(content, chunk=chunk), len(content)) == content
        assert read(request(content, chunk=chunk), len(content) - 1) is None

    def test_flood(self) -> None:
        """A body far above the limit is refused without being kept."""
        assert read(request(LARGE), 10_000) is None

    def test_other_field(self) -> None:
        """A file under another name is a bad request."""
        with pytest.raises(HTTPException):
            read(request(b"x", field="picture"))
