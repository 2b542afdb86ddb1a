"""Cost of the activations analysis, as a multiple of the bare forward pass of the model it reads.

    python benchmarks/activations.py [--quick]

A GPT-2 of the tiny family's shape with random weights reads random tokens of Zipf frequencies in batches of
4,096, on one thread. Every batch goes through the analysis and, right after, through the trunk alone, so that
both see the same machine. The last line is one JSON object; `ratio` is the median over batches.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from keep import conclude

from un_lightning.analyses.activations import ActivationsAnalysis
from un_lightning.config import (
    ActivationsConfig,
    DataConfig,
    DataSource,
    MemberConfig,
    ModelsConfig,
    ModelSource,
    TrainerConfig,
)
from un_lightning.lightning import make_trainer
from un_lightning.models.family import load_family


VOCABULARY, CONTEXT, BATCH = 4096, 128, 32
SHAPE = {"model_type": "gpt2", "n_layer": 4, "n_embd": 128, "n_head": 4}
BUDGET = 2.0


class TimedAnalysis(ActivationsAnalysis):
    """Times each batch, and the bare forward pass of the same batch."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seconds: list[tuple[float, float]] = []

    def add(self, batch: Any) -> None:
        """Add a batch; run it once more for nothing."""
        begun = time.perf_counter()
        super().add(batch)
        added = time.perf_counter()
        self.model.run(batch.tokens, {})
        self.seconds.append((added - begun, time.perf_counter() - added))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="12 batches instead of 60")
    batches = 12 if parser.parse_args().quick else 60
    family = load_family(
        ModelsConfig(
            family="random",
            source=ModelSource.random,
            members=[MemberConfig(name="a", seed=0)],
            reference="a",
            architecture=SHAPE | {"vocab_size": VOCABULARY, "n_positions": CONTEXT}
            | {"bos_token_id": 0, "eos_token_id": 0},
            tokenizer="bundled:un_tiny/tokenizer",
        )
    )  # fmt: skip
    analysis = TimedAnalysis(ActivationsConfig(paper=False), family, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blocks"
        _write_store(path, batches * BATCH)
        config = DataConfig(
            source=DataSource.store,
            path=str(path),
            context=CONTEXT,
            tokens=batches * BATCH * CONTEXT,
            batch_size=BATCH,
        )
        trainer = make_trainer(TrainerConfig(accelerator="cpu", threads=1), None, Path(folder))
        begun = time.perf_counter()
        trainer.validate(analysis, datamodule=analysis.stream(config), verbose=False)
        total = time.perf_counter() - begun
    steady = analysis.seconds[2:]
    ratio = statistics.median(added / bare for added, bare in steady)
    milliseconds = [1e3 * statistics.median(column) for column in zip(*steady, strict=True)]
    print(f"{'batch of 4,096 tokens':32} {milliseconds[0]:8.1f} ms")
    print(f"{'bare forward pass':32} {milliseconds[1]:8.1f} ms")
    print(f"{'ratio (median of batches)':32} {ratio:8.2f}   at most {BUDGET:g}")
    first = analysis.seconds[0]
    rest = total - sum(map(sum, analysis.seconds))
    conclude(
        "activations",
        {
            "ratio": round(ratio, 3),
            "budget": BUDGET,
            "ratio_first_batch": round(first[0] / first[1], 3),
            "add_ms": round(milliseconds[0], 1),
            "forward_ms": round(milliseconds[1], 1),
            "pilot_and_report_s": round(rest, 2),
            "neurons": analysis.selection.count,
            "batches": batches,
        },
    )


def _write_store(path: Path, blocks: int) -> None:
    generator = np.random.default_rng(0)
    weights = 1 / np.arange(1, VOCABULARY)
    tokens = generator.choice(np.arange(1, VOCABULARY), (blocks, CONTEXT), p=weights / weights.sum())
    tokens[:, 0] = 0
    subsets = [f"subset{index}" for index in generator.integers(6, size=blocks)]
    Dataset.from_dict({"tokens": tokens.tolist(), "subset": subsets}).save_to_disk(path)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
