"""Listeners that share no weights with the assistant; each needs the ``judges`` extra."""
