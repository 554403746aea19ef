"""Who may connect: keys, origins, and how many from one address."""

import hashlib
import hmac
import ipaddress
from collections import Counter
from collections.abc import Mapping
from urllib.parse import urlsplit

from assistant.config import ServerSettings
from assistant.errors import ConfigError

KEY_PROTOCOL = "openai-insecure-api-key."
LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


def is_loopback(host: str) -> bool:
    """Whether a host name or address leads nowhere but to this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(settings: ServerSettings) -> None:
    """Raise ConfigError when the daemon would listen beyond this machine without a key."""
    if not is_loopback(settings.host) and not settings.tokens and not settings.insecure:
        raise ConfigError(
            f"listening on {settings.host} needs a key: make one with `vivavoce token create`, "
            "or stay on 127.0.0.1"
        )
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigError("TLS needs both --tls-cert and --tls-key")


class Gate:
    """Decides about each connection; counts those that are open."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._open: Counter[str] = Counter()

    def key_is_good(self, headers: Mapping[str, str]) -> bool:
        """Whether the request carries a key whose digest is on the list; without a list anybody may come."""
        tokens = [token.get_secret_value() for token in self._settings.tokens]
        if not tokens:
            return True
        digest = hashlib.sha256(self._key(headers).encode()).hexdigest()
        return any([hmac.compare_digest(digest, token) for token in tokens])

    def _key(self, headers: Mapping[str, str]) -> str:
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key:
            return key.strip()
        offered = headers.get("Sec-WebSocket-Protocol", "").split(",")
        keys = [each.strip().removeprefix(KEY_PROTOCOL) for each in offered if KEY_PROTOCOL in each]
        return keys[0] if keys else ""

    def origin_is_good(self, headers: Mapping[str, str]) -> bool:
        """Whether a page may connect: the daemon's own, or one on the list; programs send no Origin.

        A page of the daemon's own has the Host that was asked for. Without keys that Host must be this
        machine's name as well, so that a foreign name that resolves to it does not count.
        """
        origin = headers.get("Origin")
        if origin is None or origin in self._settings.origins:
            return True
        parts = urlsplit(origin)
        scheme = "https" if self._settings.tls_cert else "http"
        if parts.scheme != scheme or parts.netloc != headers.get("Host"):
            return False
        known = LOCAL_NAMES | {self._settings.host}
        return bool(self._settings.tokens) or parts.hostname in known

    def is_crowded(self, address: str) -> bool:
        """Whether this address has all the connections that it may have; loopback is not counted."""
        return (
            not is_loopback(address) and self._open[address] >= self._settings.limits.connections_per_address
        )

    def enter(self, address: str) -> None:
        """A connection was accepted."""
        self._open[address] += 1

    def leave(self, address: str) -> None:
        """It has ended."""
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]
