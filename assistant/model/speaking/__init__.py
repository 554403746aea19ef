"""Speaking: written text and the transformer's hidden states become mel frames and sound, word by word."""
