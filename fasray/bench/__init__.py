"""Ratios against named baselines, both sides measured in the same run on the same machine."""
