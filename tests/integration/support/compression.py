"""What Dovecot's compression plugins write, decompressed without Dovecot."""

import bz2
import ctypes
import struct
import zlib

MAGIC = {"gz": b"\x1f\x8b\x08", "bz2": b"BZh", "zstd": b"\x28\xb5\x2f\xfd", "lz4": b"Dovecot-LZ4\x0d\x2a\x9b\xc5"}


def decompress(method, data):
    """The contents of the one stream at the start of data; what follows it is left out. ValueError if there is none."""
    if not data.startswith(MAGIC[method]):
        raise ValueError("no %s stream" % method)
    try:
        if method == "gz":
            return zlib.decompressobj(31).decompress(data)
        if method == "bz2":
            return bz2.BZ2Decompressor().decompress(data)
        return _zstd(data) if method == "zstd" else _lz4(data)
    except (zlib.error, OSError) as error:
        raise ValueError(str(error)) from None


def stream_of(method, data):
    """The first stream of this method anywhere in data that decompresses, or None."""
    at = data.find(MAGIC[method])
    while at >= 0:
        try:
            return decompress(method, data[at:])
        except ValueError:
            at = data.find(MAGIC[method], at + 1)
    return None


class _Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t)]


def _zstd(data):
    lib = ctypes.CDLL("libzstd.so.1")
    lib.ZSTD_createDStream.restype = ctypes.c_void_p
    lib.ZSTD_decompressStream.restype = ctypes.c_size_t
    stream = ctypes.c_void_p(lib.ZSTD_createDStream())
    source, out, result = ctypes.create_string_buffer(data, len(data)), ctypes.create_string_buffer(1 << 17), b""
    given = _Buffer(ctypes.cast(source, ctypes.c_void_p), len(data), 0)
    try:
        while True:
            got = _Buffer(ctypes.cast(out, ctypes.c_void_p), len(out), 0)
            left = lib.ZSTD_decompressStream(stream, ctypes.byref(got), ctypes.byref(given))
            result += out.raw[:got.position]
            if lib.ZSTD_isError(ctypes.c_size_t(left)) or left and given.position == given.size and not got.position:
                raise ValueError("no whole zstd frame")
            if left == 0:
                return result
    finally:
        lib.ZSTD_freeDStream(stream)


def _lz4(data):
    lib = ctypes.CDLL("liblz4.so.1")
    at, result = len(MAGIC["lz4"]) + 4, b""
    while at + 4 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        out = ctypes.create_string_buffer(1 << 20)
        length = lib.LZ4_decompress_safe(data[at + 4:at + 4 + size], out, size, len(out))
        if not size or length < 0:
            break  # what follows the stream
        result += out.raw[:length]
        at += 4 + size
    return result
