"""The worker that owns the device and steps all sessions."""
