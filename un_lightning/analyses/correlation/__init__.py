"""Correlation of every pair of units of two models, with its baseline (docs/correlation.md)."""
