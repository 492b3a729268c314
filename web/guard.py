"""What holds for every request: headers that keep texts from running, and changes from this page only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse

# A verdict takes 200 bytes, guidelines of 50,000 characters up to 200,000. A body is in memory several times over
# before anyone is asked for.
MAX_BODY_BYTES = 256 * 1024
UPLOADS = "uploads"  # the one address that takes a file; it is written as it comes, for a lead alone
MAX_UPLOAD_BYTES = 4 * 1024**3
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# Of a report or a picture: it brings its own style, and nothing in it runs, is sent or is loaded from anywhere.
SELF_CONTAINED = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    )
}


async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse a change that comes from elsewhere, and give every answer the headers that it has not set itself."""
    fault = None if request.method in ("GET", "HEAD") else _fault(request)
    response = await call_next(request) if fault is None else JSONResponse({"detail": fault[1]}, fault[0])
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _fault(request: Request) -> tuple[int, str] | None:
    """The status and reason to refuse a change, or None; its body is not read for it.

    A browser always says where a change comes from and how long it is.
    """
    if not _is_same_origin(request):
        return 403, "a change must come from the labelling page itself; open the page and label there"
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.url.path == f"/{UPLOADS}":
        is_file = content_type == "application/octet-stream"
        return None if is_file else (415, f"a file must be application/octet-stream, got {content_type!r}")
    if content_type != "application/json":
        return 415, f"a change must be application/json, got {content_type!r}"
    # Where both are given, the length is not what counts.
    length = "" if "transfer-encoding" in request.headers else request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        return 413, f"a change must say its Content-Length, at most {MAX_BODY_BYTES} bytes, got {length or 'none'}"
    return None


def _is_same_origin(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Browsers leave Sec-Fetch-Site out on plain http beyond this machine, but send Origin.
    origin = urlsplit(request.headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc.lower() == request.headers.get("host", "").lower()
