"""Audio codec: log-mel, streaming speech encoder, residual codebooks, vocoder. Imports nothing until asked."""
