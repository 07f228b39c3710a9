"""A variational cost with a prior of whole windows, learned before or known."""
