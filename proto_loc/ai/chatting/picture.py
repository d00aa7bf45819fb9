"""Checks a PNG from the sandbox chunk by chunk, and keeps only the chunks that draw it."""

import struct
import zlib

from proto_loc.errors import LocError

MAX_BYTES = 5 << 20
MAX_SIDE = 6_000
"""Pixels."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"pHYs", b"IDAT", b"IEND")


def checked(png: bytes) -> bytes:
    """Return the picture without texts, profiles and other chunks that do not draw.

    Raises:
        LocError: it is not a PNG, it is damaged, or it is too large.
    """
    if len(png) > MAX_BYTES:
        raise _bad(f"It has {len(png):,} bytes; the limit is {MAX_BYTES:,}.")
    if png[:8] != _SIGNATURE:
        raise _bad("It is not a PNG.")
    out, at, seen, pixels = [_SIGNATURE], 8, [], bytearray()
    size = 0
    while at + 12 <= len(png) and seen[-1:] != [b"IEND"]:
        length, kind = struct.unpack_from(">I4s", png, at)
        end = at + 12 + length
        if (
            end > len(png)
            or zlib.crc32(png[at + 4 : end - 4]) != struct.unpack_from(">I", png, end - 4)[0]
        ):
            raise _bad("It is broken.")
        body = png[at + 8 : end - 4]
        if not seen:
            size = _size(kind, body)
        if kind in _KEPT:
            out.append(png[at:end])
            pixels += body if kind == b"IDAT" else b""
        seen.append(kind)
        at = end
    if seen[-1:] != [b"IEND"] or b"IDAT" not in seen:
        raise _bad("It ends too early.")
    try:
        unpacked = zlib.decompressobj().decompress(bytes(pixels), size + 1)
    except zlib.error as error:
        raise _bad("Its pixels cannot be unpacked.") from error
    if len(unpacked) > size:
        raise _bad("It has more pixels than its header declares.")
    return b"".join(out)


def _size(kind: bytes, body: bytes) -> int:
    """The largest number of bytes that the pixels of this header can take."""
    if kind != b"IHDR" or len(body) != 13:
        raise _bad("It does not begin with the header of a PNG.")
    width, height, depth = struct.unpack_from(">IIB", body)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and depth in (1, 2, 4, 8, 16)):
        raise _bad(f"It is {width} by {height} pixels; the limit is {MAX_SIDE} by {MAX_SIDE}.")
    return (width * 8 + 16) * height + 64 if depth == 16 else (width * 4 + 16) * height + 64


def _bad(why: str) -> LocError:
    return LocError(
        "The sandbox gave no picture that can be shown.", why, "Ask again, or ask for a table."
    )
