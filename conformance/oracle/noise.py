"""The oracle's noise: the Mersenne Twister by hand, and what NumPy's RandomState makes of it.

Sources: Matsumoto and Nishimura 1998, "Mersenne Twister", with their initialization of 2002; Marsaglia and Bray 1964, the polar
method, whose second number of a pair NumPy hands out first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from isostyle.conformance.oracle.pictures import Floats

#: Words of the state, and how far apart those are that are mixed.
LENGTH, APART = 624, 397
#: 32 bits.
WORD = 0xFFFFFFFF


def words(seed: int) -> Iterator[int]:
    """MT19937: numbers of 32 bits."""
    state = [seed & WORD]
    for place in range(1, LENGTH):
        state.append((1812433253 * (state[-1] ^ state[-1] >> 30) + place) & WORD)
    while True:
        for place in range(LENGTH):
            joined = state[place] & 0x80000000 | state[(place + 1) % LENGTH] & 0x7FFFFFFF
            state[place] = state[(place + APART) % LENGTH] ^ joined >> 1 ^ (0x9908B0DF if joined & 1 else 0)
        for word in state:
            word ^= word >> 11
            word ^= word << 7 & 0x9D2C5680
            word ^= word << 15 & 0xEFC60000
            yield word ^ word >> 18


def uniform(seed: int) -> Iterator[float]:
    """Numbers in 0..1, of 53 bits: 27 of one word, 26 of the next."""
    source = words(seed)
    while True:
        yield ((next(source) >> 5) * 2**26 + (next(source) >> 6)) / 2**53


def normal(seed: int) -> Iterator[float]:
    """Standard normal numbers."""
    source = uniform(seed)
    while True:
        first, second = 2 * next(source) - 1, 2 * next(source) - 1
        square = first**2 + second**2
        if 0 < square < 1:
            factor = math.sqrt(-2 * math.log(square) / square)
            yield factor * second
            yield factor * first


def filled(shape: tuple[int, ...], numbers: Iterator[float]) -> Floats:
    """``numbers`` in an array of ``shape``, the last axis first."""
    return np.array([next(numbers) for _ in range(math.prod(shape))]).reshape(shape)
