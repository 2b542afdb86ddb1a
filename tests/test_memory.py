"""A process keeps what it frees for its next batch."""

import platform
import subprocess
import sys

import pytest


PROGRAM = """
import resource, sys
import torch
from un_lightning.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
batch = lambda: torch.ones(20_000_000).add(1)  # two blocks of 80 MB, which are freed at once
for _ in range(10):  # until the blocks have found their places
    batch()
before = faults()
for _ in range(10):
    batch()
print(faults() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep")
def test_pages_are_made_once():
    found = {}
    for mode in ("plain", "keep"):
        command = [sys.executable, "-c", PROGRAM, mode]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        found[mode] = int(run.stdout)
    assert found["keep"] < found["plain"] / 10
