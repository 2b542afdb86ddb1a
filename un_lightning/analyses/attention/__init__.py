"""Neurons that turn attention heads off by way of BOS (docs/attention.md)."""
