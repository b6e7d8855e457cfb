"""Losses that two or more methods share; a loss of one paper lives in that paper's method file."""
