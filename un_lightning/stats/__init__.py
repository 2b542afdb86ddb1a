"""Streaming sufficient statistics: they know tensors, and no models."""
