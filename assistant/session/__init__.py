"""The session core: pure, on the sample clock."""
