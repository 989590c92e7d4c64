"""Bodies that come packed: taken apart within the size that a body may have, so that no small one fills the memory."""

from __future__ import annotations

import zlib

from storage.errors import ForeactError

GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
PACKINGS = ("identity", "gzip", "deflate", "snappy")


def unpacked(body: bytes, packing: str, most_bytes: int) -> bytes:
    """Return what a body holds; `packing` is its Content-Encoding.

    Raises `packing_unknown`, `body_too_large` for what would be larger than `most_bytes`, and `body_corrupt`.
    """
    packing = packing.strip().lower() or "identity"
    if packing not in PACKINGS:
        detail = f"A body packed as {packing} cannot be read. Nothing was recorded."
        raise ForeactError("packing_unknown", detail, f"Send it as {', '.join(PACKINGS)}.", status=415)
    if packing == "identity":
        return body
    return _from_snappy(body, most_bytes) if packing == "snappy" else _inflated(body, packing, most_bytes)


def _from_snappy(body: bytes, most_bytes: int) -> bytes:
    import cramjam

    try:
        # The block format begins with the size of what it holds: a bomb is known before it is opened.
        if cramjam.snappy.decompress_raw_len(body) > most_bytes:
            raise _too_large(most_bytes)
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as trouble:
        raise _corrupt("snappy (block format)", str(trouble)) from None


def _inflated(body: bytes, packing: str, most_bytes: int) -> bytes:
    parts, left, rest = [], most_bytes, body
    try:
        # A gzip body may be several in a row.
        while rest:
            inflate = zlib.decompressobj(GZIP_OR_ZLIB)
            parts.append(inflate.decompress(rest, left + 1))
            left -= len(parts[-1])
            if left < 0:
                raise _too_large(most_bytes)
            if not inflate.eof:
                raise _corrupt(packing, "it ends too early")
            rest = inflate.unused_data
    except zlib.error as trouble:
        raise _corrupt(packing, str(trouble)) from None
    return b"".join(parts)


def _too_large(most_bytes: int) -> ForeactError:
    return ForeactError(
        "body_too_large",
        f"Unpacked, the body is larger than {most_bytes:,} bytes; nothing was recorded.",
        "Send it in parts, or increase `server.max_body_bytes`.",
        status=413,
    )


def _corrupt(packing: str, why: str) -> ForeactError:
    detail = f"The body is not valid {packing}: {why}. Nothing was recorded."
    return ForeactError("body_corrupt", detail, "Name the packing in Content-Encoding, and send the whole body.")
