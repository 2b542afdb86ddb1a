"""Cost of the activations analysis, as a multiple of the bare forward pass of the model that it reads.

    python benchmarks/activations.py [--quick] [--save benchmarks/results]

A GPT-2 of the tiny family's shape with random weights reads random tokens of Zipf frequencies in batches of
4,096, on one thread. Every batch goes through the analysis and, right after, through the trunk alone, so that
both see the same machine.

* batch / bare forward: median over the batches but the first two;
* ratio_first_batch: of the first batch, which knows nothing yet about what is large;
* pilot_and_report_s: seconds of everything that is no batch.

The last line is one JSON object.
"""

import os

from against_forward import read_against_forward
from keep import Ratio, arguments, conclude, on_threads
from random_models import random_family

from un_lightning.analyses.activations.analysis import ActivationsAnalysis
from un_lightning.config import ActivationsConfig


def main() -> None:
    """Run the benchmark."""
    options = on_threads(arguments(__doc__, quick="12 batches instead of 60"))
    batches = 12 if options.quick else 60
    analysis = ActivationsAnalysis(ActivationsConfig(paper=False), random_family("tiny", 1), 0)
    (reading,), rest = read_against_forward(analysis, analysis.model, batches, options.threads)
    added, bare = reading.milliseconds
    conclude(
        "activations",
        {"batch / bare forward": Ratio(reading.ratio, at_most=2)},
        {
            "ratio_first_batch": round(reading.ratios[0], 3),
            "batch_ms": round(added, 1),
            "forward_ms": round(bare, 1),
            "pilot_and_report_s": round(rest, 2),
            "neurons": analysis.selection.count,
            "batches": batches,
        },
        options,
    )


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
