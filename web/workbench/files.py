"""Files that come and go: uploads that wait for an import, exports that are handed out."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated

from anyio import open_file
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse

from web.access import CurrentLead, CurrentSite, Site
from web.guard import MAX_UPLOAD_BYTES, UPLOADS

EXPORTS = "exports"
PLAIN_NAME = re.compile(r"[\w-][\w. ()-]{0,199}")

router = APIRouter()


@router.post(f"/{UPLOADS}")
async def upload(
    request: Request, name: Annotated[str, Query(max_length=300)], site: CurrentSite, _: CurrentLead
) -> dict[str, str]:
    """Keep a file, written as it comes, whole or not at all; answer with its path, which an import takes.

    Another of the same name is replaced: what was imported from it is in the database.
    """
    folder = _folder(site, UPLOADS)
    path = folder / _plain_name(name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder, prefix=".", delete=False) as made:
        part = Path(made.name)
    try:
        size = 0
        async with await open_file(part, "wb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_UPLOAD_BYTES:
                    raise HTTPException(
                        413, f"a file may have {MAX_UPLOAD_BYTES:,} bytes; put a larger one there by hand"
                    )
                await file.write(chunk)
        if not size:
            raise HTTPException(400, f"{path.name} is empty; choose another file")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return {"path": str(path), "name": path.name}


@router.get(f"/{EXPORTS}/{{name}}")
def download(name: str, site: CurrentSite, _: CurrentLead) -> FileResponse:
    """An export, as a file."""
    path = _folder(site, EXPORTS) / _plain_name(name)
    if not path.is_file() or path.is_symlink():
        raise HTTPException(404, f"there is no export {name}")
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


def uploaded_files(site: Site) -> list[Path]:
    """The files that were uploaded, the newest first."""
    return [] if site.artifacts is None else _newest_first(site.artifacts.resolve() / UPLOADS)


def exported_files(site: Site) -> list[Path]:
    """The files that were exported, the newest first."""
    return [] if site.artifacts is None else _newest_first(site.artifacts.resolve() / EXPORTS)


def _newest_first(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)


def _folder(site: Site, name: str) -> Path:
    if site.artifacts is None:
        raise HTTPException(404, "this page has no folder of files")
    return site.artifacts.resolve() / name


def _plain_name(name: str) -> str:
    """A file's name without any folder; one that is none, or would be hidden, is refused."""
    plain = name.replace("\\", "/").rpartition("/")[2]
    if not PLAIN_NAME.fullmatch(plain):
        raise HTTPException(400, "a file's name has letters, digits, spaces, . _ - ( ), and does not begin with a dot")
    return plain
