"""Compare finished runs on one page: `python experiments/report.py runs/tiny/universality tiny/weights`."""

import sys

from un_lightning.cli import tool


if __name__ == "__main__":
    sys.exit(tool("report", sys.argv[1:]))
