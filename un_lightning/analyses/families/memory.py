"""What the families analysis takes, and what to do where that is too much."""

from collections.abc import Mapping

import torch
from torch import Tensor

from un_lightning.analyses.families.follow import FamilyFollow
from un_lightning.analyses.families.label_set import LabelSet
from un_lightning.analyses.families.model import FamilyModel
from un_lightning.analyses.families.scan import FamilyScan
from un_lightning.config import FamiliesConfig
from un_lightning.errors import UserError
from un_lightning.stats.label_sums import LabelSums


def check_memory(
    config: FamiliesConfig, models: Mapping[str, FamilyModel], labels: LabelSet, rows: int, context: int
) -> None:
    """Refuse a run that does not fit.

    Args:
        config: Settings of the analysis.
        models: Models that are read.
        labels: All labels.
        rows: Different tokens of the text.
        context: Tokens of a block.

    Raises:
        UserError: It would take more than `config.memory_gb`.
    """
    sizes = dict.fromkeys(("sums by token", "labels", "second reading"), 0.0)
    for model in models.values():
        pilot = {key: value.to("meta") for key, value in model.pilot.items()}
        like: Tensor = pilot["post"]
        in_context = labels.count - 2 * labels.own
        scan = FamilyScan.make(model.selection, rows, context, in_context, config.top_examples, like)
        follow = FamilyFollow(pilot, labels.count, config.leading, config.bins, config.groups)
        sums = LabelSums(labels.count, model.selection.count, torch.device("meta"))
        sizes["sums by token"] += sum(part.bytes for part in scan.named().values()) / 1e9
        sizes["labels"] += sums.bytes / 1e9
        if config.leading:
            sizes["second reading"] += sum(part.bytes for part in follow.named().values()) / 1e9
    total = sizes["labels"] + max(sizes["sums by token"], sizes["second reading"])
    if total <= config.memory_gb:
        return
    layers = list(next(iter(models.values())).selection.columns)
    parts = ", ".join(f"{name} {size:.3g}" for name, size in sizes.items())
    each = max(1, int(config.memory_gb / total * len(layers)))
    raise UserError(
        f"the statistics of {', '.join(models)} take {total:.3g} GB ({parts}), but analysis.memory_gb is "
        f"{config.memory_gb:g}. Raise it; or read the layers in several runs, as in "
        f"analysis.layers=[{','.join(map(str, layers[:each]))}]; or ask for less: fewer "
        "analysis.labels.kinds, analysis.bins or analysis.leading"
    )
