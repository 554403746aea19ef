"""Viva Voce: a real-time voice-and-vision assistant as one omni transformer."""
