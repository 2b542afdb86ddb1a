"""Studies of several runs: what they are made of, and what was found together."""
