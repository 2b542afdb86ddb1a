"""What each neuron responds to: words, letters, the token before, position (docs/families.md)."""
