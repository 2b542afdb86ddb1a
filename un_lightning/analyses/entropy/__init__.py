"""Neurons that set the confidence of predictions through the final norm (docs/entropy.md)."""
