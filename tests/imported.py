"""Everything that a run imports, for the process that others are forked from."""

from importlib import import_module

import torch

import un_lightning.cli
import un_lightning.lightning
import un_lightning.running.callbacks
import un_lightning.running.launch
import un_lightning.running.watch  # noqa: F401
from un_lightning.config.declarations import OURS, Way
from un_lightning.models.architecture import build_random
from un_lightning.models.frozen import FrozenModel


torch.set_num_threads(1)
for declared in OURS.values():
    for place, way in ((declared.runs, declared.way), *declared.variants.values()):
        if way is Way.stream:
            import_module(str(place).split(":")[0])
# transformers and TransformerLens import most of themselves when a model is built.
TINY = {"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 2, "n_positions": 8, "vocab_size": 8}
FrozenModel("any", build_random("any", TINY, 0))
