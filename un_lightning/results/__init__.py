"""What a run leaves in its folder, whole or unfinished, and how it is found and read again."""
