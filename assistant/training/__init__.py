"""Training recipes and the makers of their data."""
