"""``python -m assistant`` is the same as ``vivavoce``."""

from assistant.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main())
