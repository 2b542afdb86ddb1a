"""Train one small model or a tokenizer: `python experiments/train.py experiment=tiny/train seed=0`."""

import sys

from un_lightning.cli import launch


if __name__ == "__main__":
    launch("train", sys.argv[1:])
