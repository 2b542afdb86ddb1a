"""What predictions lose without sets of neurons (docs/ablation.md)."""
