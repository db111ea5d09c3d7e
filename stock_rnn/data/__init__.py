"""Prices cut into windows."""
