"""The worked example of docs/add-an-analysis.md runs and is right."""

import re
from pathlib import Path

import numpy as np
import torch

from tests.analyses.correlation.test_analysis import captured, family, gpt2


PAGE = Path(__file__).parents[2] / "docs" / "add-an-analysis.md"


def test_the_page_runs_and_counts_firings(validate, tokens):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    names: dict = {"__name__": "worked_example"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    torch.manual_seed(0)
    model = gpt2(0)
    results = validate(names["FiringAnalysis"](names["FiringConfig"](above=0.5), family(a=model), seed=0))
    expected = (captured(model, tokens) > 0.5).mean(0)
    np.testing.assert_allclose(results.tables["neurons"]["rate"], expected, rtol=1e-12)
