"""The classes of the paper's universal neurons, from the moments that are published."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from un_lightning.analyses.prediction.classes import CLASSES, classify
from un_lightning.config import PredictionConfig


TABLES = Path(__file__).parents[4] / "shared" / "published"
MODELS = {"small": "stanford-gpt2-small-a", "medium": "stanford-gpt2-medium-a", "pythia": "pythia-160m"}
pytestmark = pytest.mark.skipif(not TABLES.is_dir(), reason=f"the published tables are not at {TABLES}")


@pytest.mark.parametrize("model", MODELS)
def test_default_thresholds_give_the_published_classes(model):
    table = pd.read_csv(TABLES / MODELS[model] / "universal.csv")
    checks = {
        check["name"]: check["value"]
        for check in json.loads((TABLES / "ground_truth.json").read_text())["csv_checks"]
    }
    moments = table[["vocab_mean", "vocab_var", "vocab_skew", "vocab_kurt"]].to_numpy()
    codes = classify(PredictionConfig(), moments)
    compared = 0
    for name in ("prediction", "suppression"):
        layers = table["layer"][codes == CLASSES.index(name)]
        known = {
            f"{model}.n_{name}": len(layers),
            f"{model}.vocab_kurt_gt10_by_layer.{name}": np.bincount(layers).tolist(),
        }
        for key, value in known.items():
            if key in checks:  # not every number is published for every model
                assert value == checks[key], key
                compared += 1
    assert compared > 0
    wide = (table["vocab_var"] > 0.005).sum()
    assert wide == checks[f"{model}.n_partition_var_gt_0.005"]
    assert (codes == CLASSES.index("partition")).sum() <= wide  # those with tails are of another class
