"""The websocket daemon."""
