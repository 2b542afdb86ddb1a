"""Figures: data frames in, matplotlib figures out, one file a family of figures."""
