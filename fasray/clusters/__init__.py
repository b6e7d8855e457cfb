"""Clusters: check their files offline, and the machine that a command runs on."""
