"""Finding, fetching, checking and reading weights."""
