"""Correlations of tokens in hand are those of a run, and those of brute force."""

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

import un_lightning as ul
from tests.api.conftest import SETTINGS
from tests.reference import correlation as reference
from un_lightning.data.stretches import reading_order


@pytest.fixture(scope="module")
def tokens(family):
    blocks = torch.randint(1, 4096, (24, 32), generator=torch.Generator().manual_seed(5))
    blocks[:, 0] = family.tokenizer.eos_token_id
    blocks[3, 9:11] = family.tokenizer.eos_token_id
    return blocks


@pytest.fixture(scope="module")
def found(family, tokens):
    return ul.correlate(family, tokens, batch_size=3, seed=1, accelerator="cpu", **SETTINGS)


def test_the_numbers_of_a_run(family, tokens, found, tmp_path):
    """The run permutes the blocks of its store, so the store holds them where they are read as given."""
    order = reading_order(np.arange(len(tokens)), len(tokens), 0).blocks
    placed = np.empty_like(tokens.numpy())
    placed[order] = tokens.numpy()
    Dataset.from_dict({"tokens": placed.tolist()}).save_to_disk(str(tmp_path / "store"))
    run = ul.run(
        "tiny/universality", models="random_tiny", logger="none", trainer="cpu", seed=1, analysis=SETTINGS,
        data={"source": "store", "path": tmp_path / "store", "context": 32, "tokens": 768, "batch_size": 3},
    )  # fmt: skip
    assert {*found.tables} == {*run.tables}
    for name, table in run.tables.items():
        pd.testing.assert_frame_equal(found.tables[name], table, check_dtype=False, rtol=0, atol=1e-6)
    assert {*found.figures} == {*run.figures}
    for name, value in found.summary.items():
        assert value == pytest.approx(run.summary[name], abs=1e-6), name


def test_brute_force(family, tokens, found):
    """Against float64; 1e-5 is what float32 sums leave of 700 tokens."""
    counted = tokens.flatten() != family.tokenizer.eos_token_id
    newline = family.tokenizer.encode("\n", add_special_tokens=False)
    if len(newline) == 1:
        counted &= tokens.flatten() != newline[0]
    flat = {
        name: torch.cat(layers, dim=2).flatten(0, 1)[counted].double().numpy()
        for name, layers in family.capture(tokens).items()
    }
    best = [
        reference.max_over_partners(reference.correlations(flat["a"], flat[other])) for other in ("b", "c")
    ]
    neurons = found.tables["neurons"]
    np.testing.assert_allclose(neurons[neurons["model"] == "a"]["mean_corr"], np.mean(best, 0), atol=1e-5)
    assert found.summary["counted_tokens"] == int(counted.sum())


def test_how_it_is_shown(found, tmp_path):
    assert repr(found).startswith("<Findings correlation of random-tiny, 768 tokens: tables neurons,")
    assert "universal/percent" in found._repr_html_()
    assert found.figures["layer_match"]._repr_png_().startswith(b"\x89PNG")
    assert not any(tmp_path.iterdir())


def test_texts_and_a_model_that_reads_another_site(family):
    found = ul.correlate(
        family, ["one two three four " * 60] * 3, site="mlp_out", pairs="all", exclude="none", jackknife=0
    )
    assert len(found.tables["neurons"]) == 3 * 2 * 16
    assert found.summary["exclude"] == "none"
