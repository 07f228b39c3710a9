"""One file a picture, and the style that they share."""
