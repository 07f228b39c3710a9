"""4DVar with dynamics, over one window or cycled."""
