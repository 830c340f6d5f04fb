"""Random numbers that depend on what they are for, not on when they are drawn: no state, any order, any core.

A key names a thing (a user, a user's day, a slot of a page); a purpose names one question about it. The
number is SplitMix64 of both (Steele, Lea, Flood, OOPSLA 2014, doi.org/10.1145/2660193.2660195).
"""

from functools import lru_cache
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Keys: TypeAlias = NDArray[np.uint64]
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTOR_1, _FACTOR_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_DROPPED_BITS = np.uint64(11)  # a double has 53 bits


def root_keys(seed: int, kind: str, numbers: Ints) -> Keys:
    """The keys of the things of one kind: users, items, coupons, by number."""
    return child_keys(np.full(1, _salt(f"{seed} {kind}")), numbers)


def child_keys(keys: Keys, numbers: Ints) -> Keys:
    """The keys of the parts of things, by number; the shapes are broadcast."""
    return _mix(keys + (numbers.astype(np.uint64) + np.uint64(1)) * _STEP)


def uniform(keys: Keys, purpose: str) -> Floats:
    """One number in [0, 1) per key."""
    bits = _mix(keys + _salt(purpose)) >> _DROPPED_BITS
    return bits.astype(np.float64) * 2.0**-53


def normal(keys: Keys, purpose: str) -> Floats:
    """One standard normal number per key."""
    return np.asarray(ndtri(uniform(keys, purpose) + 2.0**-54))


def exponential(keys: Keys, purpose: str) -> Floats:
    """One number with mean 1 per key."""
    return -np.log1p(-uniform(keys, purpose))


def geometric(keys: Keys, purpose: str, mean: Floats | float) -> Ints:
    """One number from 0 per key: P(n >= k) = (mean / (1 + mean))^k; 0 where the mean is."""
    with np.errstate(divide="ignore"):
        decay = np.log(mean) - np.log1p(mean)
    return np.asarray(-exponential(keys, purpose) / decay).astype(np.int64)


def zipf(keys: Keys, purpose: str, counts: Ints) -> Ints:
    """One rank in [0, count) per key: P(rank = r) = log((r + 2) / (r + 1)) / log(count + 1), about 1 / r."""
    ranks = np.exp(uniform(keys, purpose) * np.log1p(counts)).astype(np.int64) - 1
    return np.asarray(np.clip(ranks, 0, counts - 1))


def _mix(bits: Keys) -> Keys:
    bits ^= bits >> _SHIFT_1
    bits *= _FACTOR_1
    bits ^= bits >> _SHIFT_2
    bits *= _FACTOR_2
    bits ^= bits >> _SHIFT_3
    return bits


@lru_cache(maxsize=1024)
def _salt(purpose: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake2b(purpose.encode(), digest_size=8).digest()))
