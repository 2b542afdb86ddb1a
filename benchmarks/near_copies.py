"""False positives of the tests of properties where neurons are near-copies: counted once, and all of them.

python benchmarks/near_copies.py [simulations]
"""

import sys

import numpy as np

from tests.reference.near_copies import simulated
from un_lightning.stats.layer_contrast import LayerContrast
from un_lightning.stats.near_copies import representatives


LEVEL = 0.05
SHAPES = (
    {"layers": 1, "width": 100, "copies": 4, "chosen": 1},
    {"layers": 2, "width": 40, "copies": 4, "chosen": 2},
    {"layers": 3, "width": 100, "copies": 2, "chosen": 4},
    {"layers": 3, "width": 100, "copies": 4, "chosen": 4},
    {"layers": 3, "width": 100, "copies": 8, "chosen": 3},
)


def main() -> None:
    """Print one row a shape: shares of tests below the level, of AUC and of the distance."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print("layers width copies sets mixed   AUC once   KS once   AUC all   KS all")
    for shape in SHAPES:
        for mixed in (False, True):
            found = np.array([tests(seed, shape, mixed) for seed in range(count)])
            rates = "  ".join(f"{rate:8.3f}" for rate in (found <= LEVEL).mean(0))
            print(*(f"{value:5d}" for value in shape.values()), f"{mixed!s:>6} {rates}", flush=True)


def tests(seed: int, shape: dict[str, int], mixed: bool) -> list[float]:
    """p-values with copies counted once, and with every copy."""
    values, cluster, chosen, layer = simulated(seed, **shape, mixed=mixed)
    once = representatives(cluster, chosen, seed)
    parts = [
        LayerContrast(chosen[part], layer[part], 199, seed).of(values[part])
        for part in (once, np.ones(len(values), dtype=bool))
    ]
    return [p for part in parts for p in (part.p_auc, part.p_ks)]


if __name__ == "__main__":
    main()
