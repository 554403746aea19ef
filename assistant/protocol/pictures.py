"""Pictures on the wire: data URLs of PNG or JPEG, measured by their header before anybody decodes them."""

import base64
import binascii
import struct

from assistant.protocol.reading import WireLimits
from assistant.session.errors import Refused

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
PREFIXES = ("data:image/png;base64,", "data:image/jpeg;base64,", "data:image/jpg;base64,")
FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start of frame, of every kind
BARE_MARKERS = {0x01, *range(0xD0, 0xD9)}  # no length follows


def picture(url: object, limits: WireLimits, param: str) -> bytes:
    """Take a picture's file out of its data URL.

    Raises Refused("invalid_image") for anything but a base64 data URL of a PNG or JPEG with a readable
    header, and Refused("image_too_large") for one beyond the limits, whatever it would expand to.
    """
    if not isinstance(url, str) or not url.startswith(PREFIXES):
        raise _invalid(param, "must be a base64 data URL of image/png or image/jpeg")
    encoded = url.partition(",")[2]
    if len(encoded) > limits.image_bytes * 4 // 3 + 4:
        raise _large(param, f"is over {limits.image_bytes} bytes")
    try:
        data = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid(param, "is not valid base64") from None
    size = dimensions(data)
    if size is None:
        raise _invalid(param, "is neither a PNG nor a JPEG with a readable header")
    width, height = size
    if not width or not height:
        raise _invalid(param, "has no pixels")
    if width * height > limits.image_pixels:
        raise _large(param, f"has {width}x{height} pixels; at most {limits.image_pixels:,} are taken")
    return data


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Width and height from a PNG's or JPEG's header, or None. Source: RFC 2083, 4.1.1; ITU-T T.81, B.2.2."""
    if data.startswith(PNG_MAGIC):
        if len(data) < 24 or data[12:16] != b"IHDR":
            return None
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    return _jpeg(data) if data.startswith(JPEG_MAGIC) else None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in BARE_MARKERS:
            at += 2
        elif marker in FRAME_MARKERS:
            if at + 9 > len(data):
                return None
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        else:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if length < 2:
                return None
            at += 2 + length
    return None


def _invalid(param: str, what: str) -> Refused:
    return Refused("invalid_image", f"{param} {what}.", param=param)


def _large(param: str, what: str) -> Refused:
    return Refused("image_too_large", f"{param} {what}.", param=param)
