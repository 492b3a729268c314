"""The demo world: prompts, responses, their true utility, and a small language model that speaks of it.

`grammar` writes, `parser` reads and scores, `corpus` lists the prompts and the training dialogues. The model lies in
`shipped_model/`; `language_model` is what made it. The facts stand in the `world_*` files. Needs no hub.
"""

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "shipped_model"
