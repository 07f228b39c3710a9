"""Data assimilation networks: Gaussians, forward in time and smoothed."""
