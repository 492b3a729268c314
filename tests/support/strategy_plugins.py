"""Strategies of a user's own: a file, and a package with an entry point, in a folder on the path."""

from __future__ import annotations

FILE = '''"""My strategies."""

import numpy as np


def middling(similarity):
    """The pair whose similarity is nearest a half."""
    return abs(similarity - 0.5)


def shortest(lengths):
    """The two shortest responses."""
    return lengths[:, None] + lengths


def _helper(anything):
    return anything
'''
PACKAGE = '''import numpy as np


def dice(similarity, group_seed):
    """Any pair, drawn."""
    return np.random.default_rng(group_seed).random(similarity.shape)
'''


def install_package(folder, name="dice", target="dicing:dice", code=PACKAGE):
    """A package as pip leaves one: a module, and a dist-info that says what it offers."""
    (folder / "dicing.py").write_text(code)
    info = folder / "dicing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dicing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[antipode.strategies]\n{name} = {target}\n")
    (info / "RECORD").write_text("")
    return folder
