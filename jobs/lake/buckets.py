"""Which bucket the rows of a user lie in: the same hash in Spark's SQL and in a task's numpy.

Spark's xxhash64 is XXH64 (Collet, github.com/Cyan4973/xxHash, doc/xxhash_spec.md) of UTF-8 with seed 42.
"""

import numpy as np
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

_SEED = 42
_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(prime)
    for prime in (
        11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579,
        2870177450012600261,
    )
)  # fmt: skip


def bucket_column(name: str, num_buckets: int) -> Column:
    """The bucket, from 0, of a column of texts."""
    return F.pmod(F.xxhash64(name), F.lit(num_buckets)).cast("int")


def buckets_of(texts: pa.ChunkedArray, num_buckets: int) -> np.ndarray:
    """The same of texts without nulls: (n,) int64."""
    return hash_texts(texts).view(np.int64) % num_buckets


def hash_texts(texts: pa.ChunkedArray) -> np.ndarray:
    """XXH64 of each text: (n,) uint64; a few passes of numpy over the texts of each length."""
    binary = pa.array(texts.combine_chunks()).cast(pa.large_binary())
    _, offsets_buffer, data_buffer = binary.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[binary.offset : binary.offset + len(binary) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    lengths, hashes = np.diff(offsets), np.empty(len(binary), np.uint64)
    with np.errstate(over="ignore"):  # all is modulo 2**64
        for length in np.unique(lengths):
            of_length = np.flatnonzero(lengths == length)
            hashes[of_length] = _hash_rows(data[offsets[of_length, None] + np.arange(length)])
    return hashes


def _hash_rows(rows: np.ndarray) -> np.ndarray:
    """XXH64 of each row of (n, length) bytes."""
    count, length = rows.shape
    seed, stripes = np.full(count, _SEED, np.uint64), length // 32 * 32
    if not stripes:
        hashed = seed + _P5
    else:
        lanes = [seed + _P1 + _P2, seed + _P2, seed, seed - _P1]
        for at in range(0, stripes, 32):
            lanes = [_mix(lane, _words(rows, at + 8 * n, 8)) for n, lane in enumerate(lanes)]
        hashed = sum((_rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)), 0 * seed)
        for lane in lanes:
            hashed = (hashed ^ _mix(0 * seed, lane)) * _P1 + _P4
    hashed = hashed + np.uint64(length)
    for at in range(stripes, length - 7, 8):
        hashed = _rotate(hashed ^ _mix(0 * seed, _words(rows, at, 8)), 27) * _P1 + _P4
    if length % 8 >= 4:
        hashed = _rotate(hashed ^ _words(rows, length - length % 8, 4) * _P1, 23) * _P2 + _P3
    for byte in range(length - length % 4, length):
        hashed = _rotate(hashed ^ rows[:, byte] * _P5, 11) * _P1
    hashed = (hashed ^ hashed >> np.uint64(33)) * _P2
    hashed = (hashed ^ hashed >> np.uint64(29)) * _P3
    return hashed ^ hashed >> np.uint64(32)


def _mix(lane: np.ndarray, word: np.ndarray) -> np.ndarray:
    return _rotate(lane + word * _P2, 31) * _P1


def _rotate(values: np.ndarray, by: int) -> np.ndarray:
    return values << np.uint64(by) | values >> np.uint64(64 - by)


def _words(rows: np.ndarray, at: int, width: int) -> np.ndarray:
    """The little-endian numbers of `width` bytes at a place of each row, as uint64."""
    words = np.ascontiguousarray(rows[:, at : at + width]).view(f"<u{width}")
    return words[:, 0].astype(np.uint64)
