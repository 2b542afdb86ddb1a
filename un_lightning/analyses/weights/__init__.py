"""What a neuron's weights say: norms, vocabulary, heads, other neurons (docs/weights.md)."""
