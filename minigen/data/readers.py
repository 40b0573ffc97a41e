"""Data from files: the two embedded sets of handwritten digits, and readers that do not trust what they read.

IDX, the format of MNIST (LeCun, Cortes, Burges), possibly inside gzip, every number big-endian:

    0  0  type  r        four bytes: two zeros, the code of the numbers' type, the rank r
    d₁ … dᵣ              r dimensions of four bytes
    data                 d₁ ⋯ dᵣ numbers, the last index running fastest, and nothing after them

Safetensors, the format of many networks' weights (Hugging Face 2022), every number little-endian:

    N                    eight bytes: the length of the header
    header               N bytes of JSON: {name: {"dtype": …, "shape": […], "data_offsets": [start, stop]}, …}
    data                 each array at its offsets, one after the other, and nothing between or after them

A header is only a claim. Memory is taken as the data arrive, never because a header asks for it, and a file whose claim exceeds
`max_bytes`, or what its length on the disk could hold, is refused unread.
"""

import gzip
import json
import os
import zipfile
import zlib
from math import prod
from pathlib import Path

import numpy as np

FILES = Path(__file__).parent / "files"
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
SAFETENSORS_TYPES = {
    "BOOL": "?", "U8": "<u1", "I8": "<i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
HEADER_BYTES = 10**8  # the most that the format allows
CHUNK = 1 << 20
DEFLATE_RATIO = 1032  # the most that deflate expands, whatever it is fed


def digits():
    """(x, y): 1,797 handwritten digits, x (1797, 8, 8, 1) float32 with values k/16, k = 0 … 16, and labels y (1797,) int64.

    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (test part), UCI, 1998; CC BY 4.0.

    >>> x, y = digits()
    >>> x.shape, x.dtype, float(x.max()), y[:10]
    ((1797, 8, 8, 1), dtype('float32'), 1.0, array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
    """
    arrays = npz(FILES / "optdigits.npz")
    return as_images(arrays["images"], 16), arrays["labels"].astype(np.int64)


def mnist10k():
    """(x, y): MNIST's 10,000 test images, x (10000, 28, 28, 1) float32 with values k/255, and labels y (10000,) int64.

    Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits; CC BY-SA 3.0.
    """
    x, y = (idx(FILES / f"t10k-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
    return as_images(x, 255), y.astype(np.int64)


def as_images(counts, top):
    """Counts (n, H, W) in 0 … top as images (n, H, W, 1) in [0, 1], float32."""
    return counts[..., None].astype(np.float32) / top


def idx(path, max_bytes=1 << 30):
    """The array in an IDX file, gzip-compressed or not (its first bytes tell), in native byte order.

    Raises FileNotFoundError, or ValueError that names the path and says what is wrong: not a regular file, no IDX header,
    data shorter or longer than the header says, damaged compression, or more than max_bytes of data.
    """
    with open_regular(path) as file:
        compressed = file.read(2) == b"\x1f\x8b"
        length = os.fstat(file.fileno()).st_size
        file.seek(0)
        try:
            return read_idx(gzip.GzipFile(fileobj=file) if compressed else file, length * (DEFLATE_RATIO if compressed else 1), max_bytes)
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: {error}") from error


def open_regular(path):
    """The file opened for reading bytes; ValueError where it is a directory, a device or a pipe (whose reading might never end)."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path}: not a regular file")
    return open(path, "rb")


def read_idx(stream, most, max_bytes):
    """The array of an IDX stream that holds at most `most` bytes."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise ValueError(f"not an IDX file: it begins with {magic.hex(' ') or 'nothing'}; expected 00 00, a type and a rank")
    if magic[2] not in IDX_TYPES:
        raise ValueError(f"its IDX type code is 0x{magic[2]:02x}; expected one of {', '.join(f'0x{c:02x}' for c in IDX_TYPES)}")
    rank, dtype = magic[3], np.dtype(IDX_TYPES[magic[2]])
    header = stream.read(4 * rank)
    if not 1 <= rank <= 32 or len(header) < 4 * rank:
        raise ValueError(f"its IDX header claims rank {rank}, and {len(header)} bytes follow; expected 1 to 32 dimensions of 4 bytes")
    shape = tuple(int(d) for d in np.frombuffer(header, ">u4"))
    if 0 in shape:
        raise ValueError(f"its IDX header claims shape {shape}, which holds nothing")
    claim = prod(shape) * dtype.itemsize
    what = f"its IDX header claims {dtype.name} data of shape {shape}"
    check_claim(what, claim, most, max_bytes)
    return np.ndarray(shape, dtype, buffer=read_exactly(stream, claim, what)).astype(dtype.newbyteorder("="), copy=False)


def check_claim(what, claim, most, max_bytes):
    """ValueError where more bytes are claimed than the file can hold, or than one is willing to take."""
    if claim > most:
        raise ValueError(f"{what}, {claim} bytes, but the file can hold at most {most}")
    if claim > max_bytes:
        raise ValueError(f"{what}, {claim} bytes; max_bytes is {max_bytes}: give a larger one if this is meant")


def read_exactly(stream, claim, what):
    """The rest of a stream, which must be `claim` bytes; it is read in pieces, so that memory follows what is there."""
    data = bytearray()
    while chunk := stream.read(min(CHUNK, claim + 1 - len(data))):
        data += chunk
    if len(data) != claim:
        raise ValueError(f"{what}, {claim} bytes, but {'more' if len(data) > claim else len(data)} follow")
    return data


def npz(path, max_bytes=1 << 30):
    """{name: array}: all arrays of a NumPy .npz archive. Nothing is unpickled: an array of Python objects is refused.

    Raises FileNotFoundError, or ValueError that names the path and says what is wrong: not a regular file, no archive, a member
    that is no array or does not have the length that its header says, damage, or more than max_bytes of data in all.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return read_npz(archive, os.fstat(file.fileno()).st_size, max_bytes)
        except Exception as error:  # zipfile and NumPy raise a dozen kinds on damaged bytes
            raise ValueError(f"{path}: {error}") from error


def read_npz(archive, length, max_bytes):
    """The arrays of an open archive that takes `length` bytes on the disk."""
    members = archive.infolist()
    check_claim("its archive claims to hold", sum(m.file_size for m in members), DEFLATE_RATIO * length, max_bytes)
    arrays = {}
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename} is compressed by method {member.compress_type}; expected what NumPy writes")
        with archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(stream)
            if dtype.hasobject:
                raise ValueError(f"{member.filename} holds Python objects; expected numbers")
            what = f"{member.filename} claims {dtype} data of shape {shape}"
            data = read_exactly(stream, prod(shape) * dtype.itemsize, what)
        arrays[member.filename.removesuffix(".npy")] = np.ndarray(shape, dtype, buffer=data, order="F" if fortran else "C")
    return arrays


def safetensors(path, max_bytes=1 << 30):
    """{name: array}: all arrays of a safetensors file, in native byte order; bfloat16 becomes float32.

    Raises FileNotFoundError, or ValueError that names the path and says what is wrong: not a regular file, no such header, arrays
    that do not fill the file one after the other, a type that NumPy lacks, or more than max_bytes of data.
    """
    with open_regular(path) as file:
        try:
            return read_safetensors(file, os.fstat(file.fileno()).st_size, max_bytes)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:  # what odd JSON meets
            raise ValueError(f"{path}: {error if isinstance(error, ValueError) else f'its header is damaged ({error!r})'}") from error


def read_safetensors(file, length, max_bytes):
    """The arrays of an open file that takes `length` bytes on the disk."""
    n = int.from_bytes(file.read(8), "little")
    if length < 8 or n > min(length - 8, HEADER_BYTES):
        raise ValueError(f"no safetensors file: its header claims {n} bytes, of a file of {length}")
    header = json.loads(file.read(n))
    header.pop("__metadata__", None)
    check_claim("its data take", length - 8 - n, length, max_bytes)
    arrays, place = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        shape, (start, stop) = entry["shape"], entry["data_offsets"]
        if entry["dtype"] not in SAFETENSORS_TYPES:
            raise ValueError(f"{name} has type {entry['dtype']!r}; expected one of {', '.join(SAFETENSORS_TYPES)}")
        dtype = np.dtype(SAFETENSORS_TYPES[entry["dtype"]])
        if not all(type(d) is int and d >= 0 for d in [start, stop, *shape]) or len(shape) > 32:
            raise ValueError(f"{name} has shape {shape} and offsets {start}, {stop}; expected at most 32 whole numbers ≥ 0")
        if start != place or stop - start != prod(shape) * dtype.itemsize or stop > length - 8 - n:
            raise ValueError(f"{name} claims {dtype} data of shape {shape} at {start} … {stop}, but the data before it end at {place}")
        data = np.frombuffer(file.read(stop - start), dtype).reshape(shape)
        if entry["dtype"] == "BF16":  # the upper half of a float32
            data = (data.astype(np.uint32) << 16).view(np.float32)
        arrays[name], place = data.astype(data.dtype.newbyteorder("="), copy=False), stop
    if place != length - 8 - n:
        raise ValueError(f"its arrays end at {place}, but {length - 8 - n} bytes of data follow the header")
    return arrays
