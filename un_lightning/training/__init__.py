"""Training the small models and the tokenizer that the demo and the tests stand on."""
