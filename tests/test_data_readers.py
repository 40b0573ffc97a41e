"""The embedded digits, and readers that meet damaged and hostile files."""

import gzip
import hashlib
import io
import os
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from minigen.data import digits, idx, mnist10k, npz
from minigen.data.readers import FILES

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
FORMATS = {"uint8": "B", "int8": "b", "int16": "h", "int32": "i", "float32": "f", "float64": "d"}


def idx_bytes(a, code=None):
    """An IDX file written number by number."""
    header = bytes([0, 0, code or CODES[a.dtype.name], a.ndim]) + struct.pack(f">{a.ndim}I", *a.shape)
    return header + struct.pack(f">{a.size}{FORMATS[a.dtype.name]}", *a.ravel().tolist())


def header(code, *shape):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def write(path, content):
    path.write_bytes(content)
    return path


def peak_of(f):
    """The most memory that f() held, in bytes, whatever it raised."""
    tracemalloc.start()
    try:
        f()
    except ValueError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


# ---- Embedded data ----
def test_embedded_files_are_those_of_the_note():
    note = (FILES / "README.md").read_text()
    stated = dict(reversed(line.split()) for line in re.findall(r"^ +([0-9a-f]{64} +\S+)$", note, re.M))
    found = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in FILES.iterdir() if f.name != "README.md"}
    assert found == stated and len(found) == 3
    assert stated["t10k-images-idx3-ubyte.gz"] == "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    assert stated["t10k-labels-idx1-ubyte.gz"] == "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    assert "CC BY 4.0" in note and "CC BY-SA 3.0" in note


def test_digits():
    x, y = digits()
    assert x.shape == (1797, 8, 8, 1) and x.dtype == np.float32 and y.shape == (1797,) and y.dtype == np.int64
    assert np.array_equal(np.unique(x * 16), np.arange(17))
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_equal_a_peer():
    peer = pytest.importorskip("sklearn.datasets").load_digits()
    x, y = digits()
    assert np.array_equal(x[..., 0] * 16, peer.images) and np.array_equal(y, peer.target)


def test_mnist10k():
    x, y = mnist10k()
    assert x.shape == (10000, 28, 28, 1) and x.dtype == np.float32 and y.shape == (10000,) and y.dtype == np.int64
    assert np.array_equal(np.unique(np.round(x * 255)), np.arange(256)) and np.abs(x * 255 - np.round(x * 255)).max() < 1e-4
    assert x.min() == 0 and x.max() == 1
    assert np.bincount(y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_importing_the_data_is_cheap():
    code = "import sys, minigen.data; print([m for m in ('scipy', 'matplotlib', 'tqdm', 'cupy', 'numpy.polynomial') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- IDX ----
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (1, 1, 1, 2)])
def test_idx_gives_back_what_was_written(tmp_path, dtype, shape, pack):
    rng = np.random.default_rng(0)
    whole = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    a = rng.integers(whole.min, whole.max, shape, endpoint=True) if whole else rng.standard_normal(shape)
    a = a.astype(dtype)
    b = idx(write(tmp_path / "a", pack(idx_bytes(a))))
    assert np.array_equal(a, b) and b.dtype == a.dtype and b.dtype.isnative and b.flags.writeable


def test_idx_larger_than_one_piece(tmp_path):
    a = np.random.default_rng(0).integers(256, size=(3, 1000, 1000)).astype(np.uint8)
    for pack in (bytes, gzip.compress):
        assert np.array_equal(idx(write(tmp_path / "a", pack(header(8, *a.shape) + a.tobytes()))), a)


GOOD = idx_bytes(np.arange(12, dtype=np.int16).reshape(3, 4))
BAD = {
    "empty": (b"", "begins with nothing"),
    "short magic": (GOOD[:3], "begins with 00 00 0b;"),
    "text": (b"hello, world", "begins with 68 65 6c 6c"),
    "second byte": (b"\0\1" + GOOD[2:], "not an IDX file"),
    "type code": (b"\0\0\x0a" + GOOD[3:], "type code is 0x0a; expected one of 0x08, 0x09"),
    "rank 0": (header(8) + b"\7", "rank 0"),
    "rank 33": (header(8, *[1] * 33) + b"\7", "rank 33"),
    "short dimensions": (GOOD[:11], "rank 2, and 7 bytes follow"),
    "no items": (header(8, 0, 4), "holds nothing"),
    "one byte short": (GOOD[:-1], "24 bytes"),
    "one byte long": (GOOD + b"\0", "int16 data of shape .3, 4., 24 bytes, but more follow"),
    "other count": (header(0x0B, 3, 5) + GOOD[12:], "30 bytes"),
    "other type": (b"\0\0\x0c\2" + GOOD[4:], "int32 data of shape .3, 4., 48 bytes"),
    "more than deflate can hold": (header(8, 1_000_000) + b"\7", "1000000 bytes, but the file can hold at most"),
    "2^40 bytes": (header(8, 1 << 20, 1 << 20), "1099511627776 bytes, but the file can hold at most"),
    "beyond 64 bits": (header(14, *[0xFFFFFFFF] * 3), "bytes, but the file can hold at most"),
    "minus one": (header(8, 0xFFFFFFFF) + b"\7", "4294967295 bytes, but the file can hold at most"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("case", BAD)
def test_idx_refuses(tmp_path, case, pack):
    content, what = BAD[case]
    path = write(tmp_path / "bad.idx", pack(content))
    with pytest.raises(ValueError, match=r"bad\.idx: .*" + what):
        idx(path)
    assert peak_of(lambda: idx(path)) < 1e6


def test_gzip_that_ends_early_or_is_damaged(tmp_path):
    whole = gzip.compress(idx_bytes(np.arange(1000, dtype=np.int32)))
    for cut in (2, 11, len(whole) // 2, len(whole) - 1):
        with pytest.raises(ValueError, match=r"cut\.gz: "):
            idx(write(tmp_path / "cut.gz", whole[:cut]))
    with pytest.raises(ValueError, match=r"crc\.gz: CRC check failed"):
        idx(write(tmp_path / "crc.gz", whole[:-8] + bytes(4) + whole[-4:]))


def test_gzip_bombs_take_no_memory(tmp_path):
    zeros = bytes(1 << 26)
    trailing = write(tmp_path / "trailing.gz", gzip.compress(header(8, 1000) + zeros, 1))
    honest = write(tmp_path / "honest.gz", gzip.compress(header(8, 1 << 26) + zeros, 1))
    short = write(tmp_path / "short.gz", gzip.compress(header(8, 1 << 26) + zeros[: 1 << 20], 1) + bytes(1 << 18))
    for path, what, most in ((trailing, "but more follow", 1e6), (honest, "max_bytes is 10000000", 1e6), (short, "1048576 follow", 6e6)):
        with pytest.raises(ValueError, match=what):
            idx(path, max_bytes=10_000_000 if path is honest else 1 << 30)
        assert peak_of(lambda path=path: idx(path, max_bytes=10_000_000 if path is honest else 1 << 30)) < most
    assert idx(honest).shape == (1 << 26,)


def test_the_limit_holds_for_plain_files_too(tmp_path):
    path = write(tmp_path / "a", GOOD)
    assert idx(path, max_bytes=24).shape == (3, 4)
    with pytest.raises(ValueError, match="24 bytes; max_bytes is 23"):
        idx(path, max_bytes=23)


@pytest.mark.parametrize("read", [idx, npz])
def test_what_is_no_file(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path, tmp_path / "pipe"):
        with pytest.raises(ValueError, match=f"{path}: not a regular file"):
            read(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        read(tmp_path / "missing")


# ---- npz ----
def npy_bytes(a, pickle=False):
    stream = io.BytesIO()
    np.save(stream, a, allow_pickle=pickle)
    return stream.getvalue()


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return path


def claim(shape, dtype="<f8"):
    """A .npy header without data."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_gives_back_what_was_saved(tmp_path, save):
    arrays = {
        "c": np.arange(12.0).reshape(3, 4),
        "f": np.asfortranarray(np.arange(12).reshape(3, 4)),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3)),
        "words": np.array(["a", "bc"]),
        "big_endian": np.arange(3, dtype=">i4"),
    }
    save(tmp_path / "a.npz", **arrays)
    found = npz(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, a in arrays.items():
        assert np.array_equal(found[name], a) and found[name].dtype == a.dtype and found[name].shape == a.shape
        assert found[name].flags.writeable


def test_npz_refuses(tmp_path):
    path, good = tmp_path / "bad.npz", npy_bytes(np.arange(5.0))
    cases = [
        ({"a.npy": npy_bytes(np.array([{}, None], object), pickle=True)}, "a.npy holds Python objects"),
        ({"a.npy": good[:-1]}, "a.npy claims float64 data of shape .5,., 40 bytes, but 39 follow"),
        ({"a.npy": good + b"\0"}, "40 bytes, but more follow"),
        ({"a.npy": claim((1 << 20, 1 << 20))}, "but 0 follow"),
        ({"a.npy": claim((-1, -8))}, "a.npy"),
        ({"a.txt": b"hello, world, this is no array"}, "magic string"),
    ]
    for members, what in cases:
        archive(path, members)
        with pytest.raises(ValueError, match=r"bad\.npz: .*" + what):
            npz(path)
        assert peak_of(lambda: npz(path)) < 1e6
    archive(path, {"a.npy": good}, zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match="compressed by method 12"):
        npz(path)
    with pytest.raises(ValueError, match=r"bad\.npz: File is not a zip file"):
        npz(write(path, b"hello"))


def test_npz_bomb(tmp_path):
    archive(tmp_path / "bomb.npz", {"a.npy": npy_bytes(np.zeros(1 << 20)), "b.npy": npy_bytes(np.zeros(1 << 20))})
    with pytest.raises(ValueError, match="max_bytes is 10000000"):
        npz(tmp_path / "bomb.npz", max_bytes=10_000_000)
    assert peak_of(lambda: npz(tmp_path / "bomb.npz", max_bytes=10_000_000)) < 1e6
    assert len(npz(tmp_path / "bomb.npz", max_bytes=20_000_000)) == 2


def test_npz_directory_that_lies_about_sizes(tmp_path):
    content = bytearray(archive(tmp_path / "lie.npz", {"a.npy": claim((1 << 27,))}).read_bytes())
    at = content.index(b"PK\1\2") + 24  # the uncompressed size in the central directory
    content[at : at + 4] = struct.pack("<I", (1 << 30) - 1)
    path = write(tmp_path / "lie.npz", bytes(content))
    with pytest.raises(ValueError, match="but the file can hold at most"):
        npz(path)
    assert peak_of(lambda: npz(path)) < 1e6


@pytest.mark.parametrize("kind", ["idx", "gzip", "npz"])
@pytest.mark.filterwarnings("ignore")
def test_damage_is_an_error_or_an_array(tmp_path, kind):
    rng, path = np.random.default_rng(0), tmp_path / "damaged"
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(20.0), b=np.arange(9))
    whole = {"idx": GOOD, "gzip": gzip.compress(GOOD), "npz": (tmp_path / "a.npz").read_bytes()}[kind]
    for _ in range(400):
        content = bytearray(whole[: rng.integers(len(whole) + 1)] if rng.random() < 0.2 else whole)
        for i in rng.integers(len(content), size=rng.integers(1, 4)) if content else []:
            content[i] = rng.integers(256)
        path.write_bytes(content)
        try:
            (npz if kind == "npz" else idx)(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")
