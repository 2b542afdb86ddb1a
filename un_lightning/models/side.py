"""Sides of a module."""

from enum import StrEnum


class Side(StrEnum):
    """Whether a site is what goes into a module or what comes out of it."""

    input = "input"
    output = "output"
