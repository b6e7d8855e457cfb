"""Clusters: check their files offline, and look at the machine that one stands on."""
