"""Neurons that promote, suppress or divide tokens (docs/prediction.md)."""
