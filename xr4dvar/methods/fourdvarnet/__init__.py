"""4DVarNet: the cost, its prior and its solver, trained end to end."""
