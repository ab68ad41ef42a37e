"""One uploaded file, read into memory and nowhere else.

The usual form parser writes files above a megabyte to disk; a face must not lie there without
consent ("nobody else's face", docs/architecture.md), so the whole body is bounded and parsed in
memory.
"""

from collections.abc import AsyncGenerator

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

_FORM_BYTES = 4_096  # boundaries and part headers around the file


class _InMemory(MultiPartParser):
    spool_max_size = 1 << 40  # never roll over to a file; the stream itself is bounded

    def release(self) -> None:
        """Let go of every part, also of those that a body cut short left unfinished."""
        for file in self._files_to_close_on_error:
            file.close()


async def photo(request: Request, *, bytes_max: int) -> bytes | None:
    """Return the content of the form field `photo`, or None when the body is too large.

    Args:
        request: A `multipart/form-data` request.
        bytes_max: Largest file.

    Raises:
        HTTPException: 400 when there is no such field or the form is malformed.
    """
    total = 0

    async def bounded() -> AsyncGenerator[bytes, None]:
        nonlocal total
        async for chunk in request.stream():
            total += len(chunk)
            if total <= bytes_max + _FORM_BYTES:  # else read on, so that the answer is heard
                yield chunk

    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(400, "Send the photo as multipart/form-data, field `photo`.")
    stream = bounded()
    parser = _InMemory(request.headers, stream, max_files=1, max_fields=4)
    try:
        form = await parser.parse()
        file = form.get("photo")
        content = await file.read() if isinstance(file, UploadFile) else None
    except (MultiPartException, KeyError):
        content = None
    finally:
        await stream.aclose()
        parser.release()
    if total > bytes_max + _FORM_BYTES:
        return None
    if content is None:
        raise HTTPException(400, "The form is malformed or has no file named `photo`.")
    return None if len(content) > bytes_max else content
