"""Measurements of the product on the local cluster, each against a named alternative."""
