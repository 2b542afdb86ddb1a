"""Run an analysis: `python experiments/run.py experiment=tiny/universality key=value …`."""

import sys

from un_lightning.cli import launch


if __name__ == "__main__":
    launch("run", sys.argv[1:])
