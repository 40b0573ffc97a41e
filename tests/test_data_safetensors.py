"""The reader of safetensors files, good, damaged and hostile."""

import json
import struct
import tracemalloc

import numpy as np
import pytest

from minigen.data import safetensors

NAMES = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8"} | {
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def entry(dtype, shape, start, stop):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def file(path, header, data=b""):
    """A file of a header (JSON-able, or bytes) and data."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def test_every_type_is_read(tmp_path):
    arrays = {name: (np.arange(6) % 2).astype(name).reshape(2, 3) for name in NAMES}
    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, a in arrays.items():
        header[name] = entry(NAMES[name], [2, 3], len(data), len(data) + a.nbytes)
        data += a.astype(a.dtype.newbyteorder("<")).tobytes()
    found = safetensors(file(tmp_path / "a.safetensors", dict(reversed(header.items())), data))
    assert found.keys() == arrays.keys()
    for name, a in found.items():
        assert a.dtype == np.dtype(name) and a.dtype.isnative and np.array_equal(a, arrays[name])


def test_scalars_empty_arrays_and_bfloat16(tmp_path):
    values = np.array([1.0, -2.5, 3e38], np.float32)
    half = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = {"scalar": entry("F32", [], 0, 4), "empty": entry("F32", [0, 3], 4, 4), "half": entry("BF16", [3], 4, 10)}
    found = safetensors(file(tmp_path / "a", header, struct.pack("<f", 7.0) + half))
    assert found["scalar"] == 7 and found["empty"].shape == (0, 3) and found["half"].dtype == np.float32
    np.testing.assert_allclose(found["half"], values, rtol=2**-7)
    assert list(found["half"][:2]) == [1.0, -2.5]


DATA = bytes(16)


@pytest.mark.parametrize(
    "header, data, message",
    [
        ({"a": entry("F32", [4], 0, 16)}, DATA[:8], "claims float32 data"),
        ({"a": entry("F32", [4], 0, 16)}, DATA + b"x", "end at 16, but 17 bytes"),
        ({"a": entry("F32", [4], 0, 12)}, DATA[:12], "claims float32 data"),
        ({"a": entry("F32", [3], 4, 16)}, DATA, "the data before it end at 0"),
        ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [3], 4, 16)}, DATA, "the data before it end at 8"),
        ({"a": entry("F32", [-4], 0, 16)}, DATA, "whole numbers"),
        ({"a": entry("F32", [4.0], 0, 16)}, DATA, "whole numbers"),
        ({"a": entry("F32", [1] * 40 + [4], 0, 16)}, DATA, "at most 32"),
        ({"a": entry("F32", [2**62, 2**62], 0, 16)}, DATA, "claims float32 data"),
        ({"a": entry("C64", [2], 0, 16)}, DATA, "type 'C64'"),
        ({"a": {"dtype": "F32"}}, DATA, "header is damaged"),
        ({"a": [1, 2]}, DATA, "header is damaged"),
        ([1, 2], DATA, "header is damaged"),
        (b"{", DATA, "Expecting|property"),
        (b"\xff\xfe", DATA, "Expecting"),
        (b"{\"\x80\": 1}", DATA, "decode"),
        (b"[" * 100_000, DATA, "header is damaged"),
        ({}, DATA, "end at 0, but 16"),
    ],
)
def test_what_is_damaged_is_said(tmp_path, header, data, message):
    path = file(tmp_path / "a.safetensors", header, data)
    with pytest.raises(ValueError, match=message) as caught:
        safetensors(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"abc", struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 3) + b"{}"])
def test_claims_of_a_header_take_no_memory(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ValueError, match="header claims"):
        safetensors(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_more_than_one_is_willing_to_take_is_refused(tmp_path):
    path = file(tmp_path / "a", {"a": entry("F32", [4], 0, 16)}, DATA)
    assert safetensors(path, max_bytes=16)["a"].shape == (4,)
    with pytest.raises(ValueError, match="max_bytes is 15"):
        safetensors(path, max_bytes=15)
    with pytest.raises(ValueError, match="not a regular file"):
        safetensors(tmp_path)
    with pytest.raises(FileNotFoundError):
        safetensors(tmp_path / "none")
