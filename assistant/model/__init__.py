"""The omni transformer and its heads."""
