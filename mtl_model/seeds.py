"""One seed in the config, many independent streams."""

import hashlib


def derive_seed(*parts: int) -> int:
    """A 63-bit seed from the numbers that name a stream, the same on every machine."""
    text = ",".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
