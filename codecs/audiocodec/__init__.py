"""Audio codec: log-mel, streaming encoder, residual codebooks, vocoder. Imports nothing until asked."""
