"""The light image, built from its Dockerfile on a base of Debian's packages, and a curation in it.

Minutes and gigabytes: it runs where BUILD_IMAGES=1 asks for it, as root, with buildah and debootstrap.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BASE = "localhost/python-base"
IMAGE = "localhost/antipode-service"
Buildah = Callable[..., str]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.environ.get("BUILD_IMAGES") != "1", reason="BUILD_IMAGES=1 builds images"),
    pytest.mark.skipif(
        not shutil.which("buildah") or not shutil.which("debootstrap"), reason="buildah or debootstrap is not installed"
    ),
    pytest.mark.skipif(os.getuid() != 0, reason="a base image is made by root alone"),
]


@pytest.fixture(scope="module")
def buildah() -> Iterator[Buildah]:
    """Run buildah in a store of its own, on the disk: the tests' own folders may lie in memory."""
    folder = Path(tempfile.mkdtemp(prefix="antipode-images-", dir="/var/tmp"))
    storage = ("--root", str(folder / "store"), "--runroot", str(folder / "run"))
    try:
        yield lambda *arguments: _output("buildah", *storage, *arguments, cwd=folder)
    finally:
        subprocess.run(["buildah", *storage, "rm", "--all"], capture_output=True, check=False)
        subprocess.run(["buildah", *storage, "rmi", "--all", "--force"], capture_output=True, check=False)
        subprocess.run(["umount", str(folder / "store" / "overlay")], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def container(buildah: Buildah, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A container of the light image."""
    settings = tmp_path_factory.mktemp("pip") / "pip.conf"
    volumes = [f"--volume={path}:{path}:ro" for path in _pip_settings(settings)]
    volumes += [f"--volume={settings}:/etc/pip.conf:ro", f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"]
    _make_base(buildah)
    build = ("bud", "--isolation=chroot", "--network=host", "--pull-never", f"--build-arg=BASE_IMAGE={BASE}", *volumes)
    buildah(*build, f"--file={ROOT / 'docker/service.Dockerfile'}", f"--tag={IMAGE}", str(ROOT))
    return buildah("from", "--pull-never", IMAGE).strip()


def test_the_light_image_curates_as_its_own_user(buildah: Buildah, container: str):
    def told(*command: str) -> str:
        return buildah("run", "--isolation=chroot", "--network=host", container, "--", *command)

    assert told("id", "--user", "--name").strip() == "antipode"
    assert told("pg_dump", "--version").startswith("pg_dump (PostgreSQL) 15.")
    write = 'for i in 1 2 3 4; do echo "{\\"prompt\\": \\"Question $i?\\"}"; done > /srv/artifacts/mine.jsonl'
    told("sh", "-c", write)
    here = ("env", "ANTIPODE_ARTIFACT_ROOT=/srv/artifacts", "antipode")
    told(*here, "import", "/srv/artifacts/mine.jsonl", "--name", "mine")
    scripted = ("--generate.backend", "scripted", "--generate.responses_per_prompt", "4", "--embed.backend", "hashed")
    made = told(*here, "curate", "--source.name", "mine", *scripted)
    assert "Run 1 (curation, completed): 4 prompts, 16 responses" in made


def _make_base(buildah: Buildah) -> None:
    """Make what python:3.11-slim-bookworm is, of Debian's packages: Python 3.11 as `python`, a pip that installs."""
    made = buildah("from", "scratch").strip()
    root = Path(buildah("mount", made).strip())
    packages = "--include=ca-certificates,python3.11,python3-pip"
    _output("debootstrap", "--variant=minbase", packages, "bookworm", str(root), cwd=Path("/"))
    (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3.11")
    buildah("umount", made)
    buildah("config", "--env=PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--env=LANG=C.UTF-8", made)
    buildah("commit", "--rm", made, BASE)


def _pip_settings(path: Path) -> list[Path]:
    """Write how this machine's pip finds packages; return the folders and files that it names."""
    told = _output(sys.executable, "-m", "pip", "config", "list", cwd=ROOT)
    found = dict(re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", told, re.MULTILINE))
    kept = {
        name: value for name, value in found.items() if name in {"cert", "extra-index-url", "find-links", "index-url"}
    }
    settings = configparser.ConfigParser(interpolation=None)
    settings["global"] = kept
    with path.open("w") as file:
        settings.write(file)
    words = [Path(word.removeprefix("file://")) for value in kept.values() for word in re.split(r"\s+|\\n", value)]
    tops = {Path(*word.parts[:3]) for word in words if word.is_absolute() and word.exists() and word != CERTIFICATES}
    return sorted(tops)


def _output(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command[:4])} …: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout
