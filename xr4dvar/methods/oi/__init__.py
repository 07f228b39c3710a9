"""Optimal interpolation: a covariance model, found or given, and the analysis with it."""
