"""The demo world: prompts, responses, their true utility, and a small language model made on this machine in a minute.

`grammar` writes, `parser` reads and scores, `corpus` lists the prompts and the training dialogues, `language_model`
trains the model. The facts stand in the `world_*` files. Needs no hub and no data set.
"""
