"""One uploaded file, read into memory and nowhere else.

The usual form parser writes files above a megabyte to disk; a face must not lie there without
consent (DESIGN.md, invariant 7), so the whole body is bounded and parsed in memory.
"""

from collections.abc import AsyncGenerator

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

_FORM_BYTES = 4_096  # boundaries and part headers around the file


class _InMemory(MultiPartParser):
    spool_max_size = 1 << 40  # never roll over to a file; the stream itself is bounded


async def photo(request: Request, *, bytes_max: int) -> bytes | None:
    """Return the content of the form field `photo`, or None when the body is too large.

    Args:
        request: A `multipart/form-data` request.
        bytes_max: Largest file.

    Raises:
        HTTPException: 400 when there is no such field or the form is malformed.
    """
    over = False

    async def bounded() -> AsyncGenerator[bytes, None]:
        nonlocal over
        total = 0
        async for chunk in request.stream():
            total += len(chunk)
            if total > bytes_max + _FORM_BYTES:
                over = True  # read on to the end, so that the browser hears the answer
            if not over:
                yield chunk

    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(400, "Send the photo as multipart/form-data, field `photo`.")
    stream = bounded()
    try:
        form = await _InMemory(request.headers, stream, max_files=1, max_fields=4).parse()
    except (MultiPartException, KeyError) as error:
        if over:
            return None
        raise HTTPException(400, "The form is malformed.") from error
    finally:
        await stream.aclose()
    if over:
        await form.close()
        return None
    file = form.get("photo")
    if not isinstance(file, UploadFile):
        raise HTTPException(400, "The form has no file named `photo`.")
    content = await file.read()
    await form.close()
    return None if len(content) > bytes_max else content
