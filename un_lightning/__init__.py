"""Find the neurons that independently trained language models share, and show what they do.

Importing the package costs nothing: torch and the model libraries load only where they are used,
so that a mistake in a config is answered in about a second.
"""

__version__ = "0.1.0"
