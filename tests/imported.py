"""Everything that a run imports, for the process that others are forked from."""

import torch

import un_lightning.analyses.correlation
import un_lightning.callbacks
import un_lightning.cli
import un_lightning.launch
import un_lightning.lightning
import un_lightning.models.family  # noqa: F401


torch.set_num_threads(1)
