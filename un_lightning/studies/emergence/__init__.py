"""Universal neurons from checkpoint to checkpoint (docs/emergence.md)."""
