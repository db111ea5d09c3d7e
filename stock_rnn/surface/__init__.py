"""Optimizers on a surface of two coordinates: the lecture's picture."""
