"""Frozen language models: where they come from, and what their units do on a batch of tokens."""
