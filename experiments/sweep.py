"""Run a W&B sweep file without a server: `python experiments/sweep.py sweeps/universality.yaml`."""

import sys

from un_lightning.cli import tool


if __name__ == "__main__":
    sys.exit(tool("sweep", sys.argv[1:]))
