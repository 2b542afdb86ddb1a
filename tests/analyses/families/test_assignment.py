"""Which family a neuron is put into, and how families are counted."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.reference import families as reference
from un_lightning.analyses.families.assignment import FAMILIES, assign, family_of_kind
from un_lightning.analyses.families.counts import count_table
from un_lightning.analyses.families.measures import adjusted
from un_lightning.analyses.families.word_role import ROLES, WordRoles
from un_lightning.config import FamilyCriteria
from un_lightning.data.loader import Batch


def test_adjusted_counts_the_tests_that_are_not_known():
    p = np.array([1e-6, 0.03, 0.5, 1e-4, 1e-4])
    whole = np.concatenate([p, np.ones(95)])
    np.testing.assert_allclose(adjusted(p, 100), np.minimum(reference.benjamini_hochberg(whole)[:5], 1))


def rows(**columns):
    base = {"valid": True, "kurt": 3.0, "position_mi": 0.0, "eta2_position": 0.0}
    return pd.DataFrame([base | columns])


@pytest.mark.parametrize(
    ("reduction", "columns", "confounded", "expected"),
    [
        ({"unigram": 0.51}, {}, False, "unigram"),
        ({"unigram": 0.49}, {}, False, "other"),
        ({"alphabet": 0.4, "unigram": 0.4}, {}, False, "alphabet"),
        ({"alphabet": 0.4, "unigram": 0.4}, {}, True, "other"),
        ({"alphabet": 0.6, "unigram": 0.6}, {}, True, "unigram"),
        ({"previous": 0.06, "unigram": 0.05}, {}, False, "previous"),
        ({"previous": 0.06, "unigram": 0.45}, {}, False, "other"),
        ({"syntax": 0.3}, {}, False, "syntax"),
        ({"topic": 0.04}, {}, False, "unexplained"),
        ({"position": 0.3}, {}, False, "position"),
        ({"subset": 0.2}, {"kurt": 1.9, "position_mi": 0.1, "eta2_position": 0.3}, False, "position"),
        ({"subset": 0.4}, {"kurt": 1.9, "position_mi": 0.1, "eta2_position": 0.3}, False, "subset"),
        ({}, {"kurt": 2.1, "position_mi": 0.1, "eta2_position": 0.3}, False, "other"),
        ({}, {"kurt": 1.9, "position_mi": 0.1, "eta2_position": 0.09}, False, "unexplained"),
        ({"unigram": 0.9}, {"valid": False}, False, "invalid"),
    ],
)
def test_criteria(reduction, columns, confounded, expected):
    values = np.array([[reduction.get(family, 0.0)] for family in FAMILIES])
    assert assign(FamilyCriteria(), values, np.array([confounded]), rows(**columns))[0] == expected


def test_kinds_have_families():
    assert family_of_kind("letter") == "alphabet"
    assert family_of_kind("previous/letter") == "previous"
    assert family_of_kind("dep") == "syntax"
    assert family_of_kind("first_letter") == family_of_kind("my_own") == "vocabulary"
    assert family_of_kind("subset") == "subset"


def test_counts_without_neurons_of_a_group():
    table = pd.DataFrame({"model": "a", "layer": [0, 0], "valid": True, "family": ["unigram", "other"]})
    table["universal"] = pd.array([False, None], dtype="boolean")
    counts = count_table(table)
    assert counts.query("group == 'universal'")["share"].isna().all()
    assert counts.query("group == 'rest' and layer == -1")["count"].sum() == 1


def test_roles_of_words():
    """Ġthe re | ( a b ) | next document: x, and a block that begins inside a word."""
    texts = ["", " the", "re", " (", "ab", "c", ")", " x", "12"]
    tokens = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7, 8, 1], [0, 2, 1, 3, 4, 7, 1, 1, 5, 6]])
    document = torch.tensor([[-1, 0, 0, 0, 0, 0, 0, 1, 1, 1], [-1, 2, 2, 2, 2, 2, 2, 3, 3, 3]])
    batch = Batch(
        tokens, tokens > 0, torch.tensor([0, 10]), document, torch.zeros(2).long(), torch.arange(2), 18
    )
    named = [(*ROLES, None)[role] for role in WordRoles(texts)(batch).tolist()]
    word, beginning, middle = ROLES
    assert named[:10] == [None, beginning, middle, None, beginning, middle, None, word, None, None]
    assert named[10:] == [None, None, word, None, word, word, word, beginning, middle, None]
