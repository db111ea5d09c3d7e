"""Curvature by epoch."""
