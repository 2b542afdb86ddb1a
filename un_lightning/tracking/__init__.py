"""The record of a run outside its folder: Weights & Biases, a CSV file, or nothing."""
