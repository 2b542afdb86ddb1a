"""Make the token store of an experiment: `python experiments/prepare.py experiment=tiny/universality`."""

import sys

from un_lightning.cli import launch


if __name__ == "__main__":
    launch("prepare", sys.argv[1:])
