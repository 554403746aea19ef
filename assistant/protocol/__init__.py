"""The realtime wire protocol: JSON to events and back; pure."""
