"""Faults that are injected into a real cluster, and what the status says of each."""
