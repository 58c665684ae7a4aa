"""Pickles read by Python's own unpickler, which finds nothing here that it could run.

A pickle is a program that names functions and calls them. A name that is not in the caller's list ends the reading; one that is
becomes a :class:`Name`, and calling that only notes the call. The opcodes are looked through first, since the unpickler takes
memory for as much as a program claims, and hashes whatever the program makes a key.

Source: the opcodes and their meaning, module ``pickletools`` of Python's standard library.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Collection
from typing import IO, Any, TypeGuard, cast

from isostyle.errors import InputError
from isostyle.weights.sources import Stream

Program = Stream | io.BytesIO

#: The pickle of a VGG has some 2000. Tuples nest no deeper, so that hashing one does not exhaust the stack.
MAX_OPCODES = 20_000
#: What makes a value that the memo may give a second time: texts, bytes and single objects. Tuples do not: if each holds the
#: one before twice, then hashing the 300th takes for ever.
TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"}
BYTES = {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
SHARED = TEXTS | BYTES | {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BINPERSID", "EMPTY_LIST", "LIST", "EMPTY_DICT", "DICT"}
PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
GETS = {"GET", "BINGET", "LONG_BINGET"}
#: The first doubles a value without the memo; the others find names without asking.
REFUSED = {"DUP", "EXT1", "EXT2", "EXT4"}


class Name(str):
    """A name in the caller's list, ``module.attribute``, in the place of what it names."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> Call:
        return Call(self, arguments)


class Call(dict[Any, Any]):
    """A call that was noted and not made; as a dictionary, the items that the program puts into the result afterwards."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.name, self.arguments = name, arguments
        #: What the program completes the result with.
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def is_call(value: Any, *names: str) -> TypeGuard[Call]:
    """Whether ``value`` is a noted call of one of ``names``."""
    return isinstance(value, Call) and value.name in names


class InertUnpickler(pickle.Unpickler):
    """The standard unpickler with a closed list of names, and a list of what the program says of things outside of it."""

    def __init__(self, stream: Program, file: str, names: Collection[str]) -> None:
        super().__init__(stream, encoding="latin1")  # Python 2's text, which may be bytes
        self.file, self.names = file, names
        self.outside: list[Any] = []

    def find_class(self, module_name: str, global_name: str, /) -> Name:
        name = f"{module_name}.{global_name}"
        if name not in self.names:
            raise InputError(f"{self.file} would call {name[:200]!r}, which no weights need; it is not loaded")
        return Name(name)

    def persistent_load(self, pid: Any) -> Any:
        self.outside.append(pid)
        return pid


def load(stream: Program, file: str, names: Collection[str] = ()) -> tuple[Any, list[Any]]:
    """The value of the pickle where ``stream`` is, and its persistent ids; ``stream`` stands behind it afterwards. Raises
    InputError if the program names what is not in ``names``; any error if it is damaged, or does what no weights need."""
    start = stream.tell()
    check(stream)
    stream.seek(start)
    unpickler = InertUnpickler(stream, file, names)
    return unpickler.load(), unpickler.outside


def check(stream: Program) -> None:
    """Raises ValueError for a program that could take more memory or time than its bytes are worth."""
    memo: dict[int, str] = {}
    before = ""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], stream))):
        name = opcode.name
        if name in REFUSED or count >= MAX_OPCODES:
            raise ValueError(f"its pickle has {count} opcodes and {name}, more than a file of weights needs")
        if name in PUTS:
            place = len(memo) if argument is None else int(argument)
            if place > MAX_OPCODES:
                raise ValueError(f"its pickle has a memo of {place} values")
            memo[place] = before
        elif name in GETS and memo.get(int(argument or 0)) not in SHARED:
            raise ValueError("its pickle repeats a tuple, or what is not there")
        elif name != "FRAME":
            before = name
