"""A refusal that the client is told about; the session goes on."""

from assistant.errors import ProtocolViolation


class Refused(ProtocolViolation):
    """A client event that cannot be carried out.

    ``kind`` is the error's type on the wire, ``code`` the machine-readable reason, ``param`` the field at
    fault.
    """

    def __init__(
        self, code: str, message: str, *, param: str | None = None, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.kind = kind
