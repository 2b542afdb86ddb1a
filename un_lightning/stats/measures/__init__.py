"""Measures of similarity from the sums of one pass, one a file, each with declared invariances."""

from un_lightning.stats.measures import cka, cosine, jaccard, linreg, matching, mutual
from un_lightning.stats.measures.measure import MEASURES, Measure, Transformation, find, register


__all__ = [
    "MEASURES",
    "Measure",
    "Transformation",
    "cka",
    "cosine",
    "find",
    "jaccard",
    "linreg",
    "matching",
    "mutual",
    "register",
]
