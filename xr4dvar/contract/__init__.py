"""What a method is to the verbs: its door, what goes through it, and its configuration."""
