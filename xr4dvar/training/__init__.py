"""Training of networks: samples, the loop, checkpoints, losses and devices."""
