"""Correlation by following promising pairs only, for larger models (docs/screening.md)."""
