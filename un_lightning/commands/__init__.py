"""Verbs of the console script that look things up or set things up, a file each."""
