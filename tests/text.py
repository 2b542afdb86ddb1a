"""Text for runs of tests: a few hundred short documents in one file."""

import json
import random
from pathlib import Path


def write_text(path: Path, documents: int = 120) -> None:
    """Write seeded documents of two subsets as JSON lines."""
    draw = random.Random(0)  # noqa: S311
    words = [
        "def",
        "return",
        "if",
        "for",
        "the",
        "of",
        "and",
        "in",
        "(x):",
        "self.value",
        "=",
        "model",
        "neuron",
    ]
    with path.open("w") as file:
        for number in range(documents):
            text = " ".join(draw.choices(words, k=draw.randint(5, 60)))
            file.write(json.dumps({"text": text, "subset": "ab"[number % 2]}) + "\n")
