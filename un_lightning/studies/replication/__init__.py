"""All studies of a family, and its numbers beside those of the paper (docs/replication.md)."""
