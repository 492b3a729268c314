"""A process on a pseudo-terminal, as a person has it before them."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence


def shown_on_terminal(command: Sequence[str], variables: Mapping[str, str]) -> str:
    """What a process that ends well prints on a terminal, its failures too."""
    parent, child = pty.openpty()
    process = subprocess.Popen(command, env=variables, stdout=child, stderr=child)
    os.close(child)
    told = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:  # Linux says so at the end of a pseudo-terminal
            break
        if not part:
            break
        told += part
    os.close(parent)
    assert process.wait(30) == 0, told
    return told.decode().replace("\r\n", "\n")
