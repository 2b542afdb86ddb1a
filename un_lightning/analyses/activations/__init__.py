"""What each neuron does on text: moments, top tokens, examples (docs/activations.md)."""
