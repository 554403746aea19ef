"""Keys of the daemon: made at random, shown once, kept as SHA-256 digests in a file beside the settings."""

import hashlib
import os
import secrets
from pathlib import Path

from assistant.errors import ConfigError

KEY_BYTES = 32


def digest(key: str) -> str:
    """What is kept of a key. Keys are random and long, so one round of hashing is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_digests(place: Path) -> tuple[str, ...]:
    """The digests on file, if any. Raises ConfigError for a file that holds anything else."""
    try:
        lines = place.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the keys in {place}: {error}") from None
    if any(len(line) != 64 or set(line) - set("0123456789abcdef") for line in lines):
        raise ConfigError(f"{place} holds a line that is no SHA-256; make keys with `vivavoce token create`")
    return tuple(lines)


def create(place: Path) -> str:
    """Make a key, add its digest to the file, and give the key."""
    key = "vv_" + secrets.token_urlsafe(KEY_BYTES)
    _write(place, (*read_digests(place), digest(key)))
    return key


def revoke(place: Path, key_or_digest: str) -> bool:
    """Take a key off the file, by itself or by the beginning of its digest; say whether one was found."""
    found = read_digests(place)
    wanted = digest(key_or_digest)
    near = len(key_or_digest) >= 8
    kept = tuple(one for one in found if one != wanted and not (near and one.startswith(key_or_digest)))
    if len(kept) < len(found):
        _write(place, kept)
    return len(kept) < len(found)


def _write(place: Path, digests: tuple[str, ...]) -> None:
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text("".join(f"{line}\n" for line in digests), encoding="ascii")
        os.replace(unfinished, place)
    except OSError as error:
        raise ConfigError(f"cannot write the keys to {place}: {error.strerror}") from None
