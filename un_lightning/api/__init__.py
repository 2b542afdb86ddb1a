"""The door for Python: runs, finished runs, and families of models in one's own hands (docs/python.md)."""
