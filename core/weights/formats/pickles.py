"""Pickles read without running them: a small interpreter that knows containers, numbers, text and the calls it is given.

A pickle is a program. Python's own reader imports and calls whatever the program names, sizes its memory by what the program
says, and hashes and compares what it builds. Here a name that is not in the caller's table ends the reading, a call runs the
caller's function and no other, keys are short strings, and long strings of bytes are left where they are: their place in the
file stands for them.

Source: the opcodes and their meaning, module ``pickletools`` of Python's standard library.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isostyle.errors import InputError
from isostyle.system.files import reason
from isostyle.weights.sources import Cursor

#: The pickle of a VGG has some 2000; a longer program is not one of ours.
MAX_OPCODES = 50_000
#: Longer strings stay in the file.
MAX_INLINE = 1000
HIGHEST_PROTOCOL = 5


@dataclass(frozen=True)
class Blob:
    """A long string that was left in the file: ``length`` bytes from ``start``; ``text``: they are UTF-8."""

    start: int
    length: int
    text: bool
    #: Text whose characters are bytes (protocol 2 writes byte strings so), once the program says that it is.
    latin1: bool = False


@dataclass(frozen=True)
class Name:
    """A name in the table that is a value (a storage's type), not a function."""

    module: str
    name: str


class Built:
    """What a call made, if a later opcode may complete it: ``state`` is called with what BUILD brings."""

    def state(self, value: Any) -> None:
        raise ValueError("it cannot be completed")


class Mark:
    """Where a tuple, list or dictionary began on the stack."""


#: What the table holds: a function that gets the tuple of arguments, or None for a name that only stands for itself.
Calls = Mapping[tuple[str, str], Callable[[tuple[Any, ...]], Any] | None]

MARK = Mark()


def load(cursor: Cursor, calls: Calls, persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value of the pickle that begins at ``cursor``, which stands behind it afterwards.

    Args:
        cursor: where.
        calls: what the program may name, by module and name.
        persistent: makes a value of a persistent id; without it there may be none.

    Raises:
        InputError: the program names something else, is damaged, or is too long.
    """
    name = cursor.source.name
    try:
        return _run(cursor, calls, persistent)
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError, struct.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} holds a pickle that cannot be read: {reason(error)[:200]}") from None


def _run(cursor: Cursor, calls: Calls, persistent: Callable[[Any], Any] | None) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        place = len(stack) - 1
        while stack[place] is not MARK:  # from the top: each item is passed once;
            place -= 1
            if place < 0:
                raise ValueError("a mark is missing")
        items = stack[place + 1 :]
        del stack[place:]
        return items

    def string(length: int, *, text: bool) -> None:
        if length > MAX_INLINE:
            start, end = cursor.skip(length)
            stack.append(Blob(start, end - start, text))
        else:
            data = cursor.take(length)
            stack.append(data.decode("utf-8", "surrogatepass") if text else data)

    def put(items: list[Any]) -> None:
        if len(items) % 2:
            raise ValueError("a dictionary has a key without a value")
        into = stack[-1]
        if not isinstance(into, dict):
            raise ValueError("it puts a key into what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            into[text_key(key)] = value

    def find(module: str, attribute: str) -> None:
        if (module, attribute) not in calls:
            raise InputError(
                f"{cursor.source.name} would call {module + '.' + attribute!r}, which no weights need; it is not loaded"
            )
        stack.append(Name(module, attribute))

    def extend(items: list[Any]) -> None:
        if not isinstance(stack[-1], list):
            raise ValueError("it appends to what is no list")
        stack[-1].extend(items)

    for _ in range(MAX_OPCODES):
        code = cursor.take(1)
        if code == b".":
            value = stack.pop()
            if stack:
                raise ValueError("values are left over")
            return value
        if code == b"\x80":
            if cursor.number(1) > HIGHEST_PROTOCOL:
                raise ValueError("it has an unknown protocol")
        elif code == b"\x95":
            cursor.take(8)  # a frame's length, a hint for buffering
        # Marks, tuples, lists, dictionaries.
        elif code == b"(":
            stack.append(MARK)
        elif code == b")":
            stack.append(())
        elif code == b"t":
            items = since_mark()
            stack.append(tuple(items))
        elif code in (b"\x85", b"\x86", b"\x87"):
            count = code[0] - 0x84
            if len(stack) < count or MARK in stack[-count:]:
                raise ValueError("a tuple lacks items")
            stack[-count:] = [tuple(stack[-count:])]
        elif code == b"]":
            stack.append([])
        elif code == b"l":
            items = since_mark()
            stack.append(items)
        elif code == b"a":
            last = stack.pop()
            extend([last])
        elif code == b"e":
            extend(since_mark())
        elif code == b"}":
            stack.append({})
        elif code == b"d":
            items = since_mark()
            stack.append({})
            put(items)
        elif code == b"s":
            value, key = stack.pop(), stack.pop()
            put([key, value])
        elif code == b"u":
            put(since_mark())
        # Constants and numbers.
        elif code == b"N":
            stack.append(None)
        elif code == b"\x88":
            stack.append(True)
        elif code == b"\x89":
            stack.append(False)
        elif code in _INTEGERS:
            size, signed = _INTEGERS[code]
            stack.append(cursor.number(size, signed=signed))
        elif code == b"\x8a":
            stack.append(cursor.number(cursor.number(1), signed=True))
        elif code == b"G":
            stack.append(struct.unpack(">d", cursor.take(8))[0])
        elif code in (b"I", b"L"):
            line = cursor.line().decode("ascii")
            stack.append({"00": False, "01": True}[line] if code == b"I" and line in ("00", "01") else int(line.rstrip("L")))
        elif code == b"F":
            stack.append(float(cursor.line()))
        # Strings: text, bytes, and those of Python 2, which are bytes.
        elif code in _STRINGS:
            size, text = _STRINGS[code]
            string(cursor.number(size), text=text)
        # Names, calls and what completes their results.
        elif code == b"c":
            module, attribute = cursor.line().decode(), cursor.line().decode()
            find(module, attribute)
        elif code == b"\x93":
            attribute, module = stack.pop(), stack.pop()
            if not (isinstance(attribute, str) and isinstance(module, str)):
                raise ValueError("a name is no text")
            find(module, attribute)
        elif code == b"R":
            arguments, callee = stack.pop(), stack.pop()
            call = calls[callee.module, callee.name] if isinstance(callee, Name) else None
            if call is None or not isinstance(arguments, tuple):
                raise ValueError("it calls what is no function")
            stack.append(call(arguments))
        elif code == b"b":
            state = stack.pop()
            if isinstance(stack[-1], Built):
                stack[-1].state(state)
            elif not isinstance(stack[-1], dict):  # of an ordered dictionary: attributes, which nothing here needs
                raise ValueError("it completes what is complete")
        elif code == b"Q" and persistent is not None:
            stack.append(persistent(stack.pop()))
        # The memo.
        elif code == b"\x94":
            memo[len(memo)] = stack[-1]
        elif code in _PUTS:
            memo[cursor.number(_PUTS[code])] = stack[-1]
        elif code == b"p":
            memo[int(cursor.line())] = stack[-1]
        elif code in _GETS:
            stack.append(memo[cursor.number(_GETS[code])])
        elif code == b"g":
            stack.append(memo[int(cursor.line())])
        else:
            raise ValueError(f"it has the opcode {code!r}, which no file of weights needs")
    raise ValueError(f"it has more than {MAX_OPCODES} opcodes")


def text_key(key: Any) -> str:
    """A dictionary's key as text. A tuple of tuples of tuples could take for ever to hash or to print, so there are none."""
    if isinstance(key, bytes):  # Python 2's text
        return key.decode("latin-1")
    if isinstance(key, str | int):
        return str(key)
    raise ValueError("a dictionary's key is neither text nor a number")


#: Size in bytes, and whether signed: BININT, BININT1, BININT2.
_INTEGERS = {b"J": (4, True), b"K": (1, False), b"M": (2, False)}
#: Size of the length, and whether text: BINUNICODE, SHORT_, 8; BINBYTES, SHORT_, 8; BINSTRING, SHORT_.
_STRINGS = {
    b"X": (4, True),
    b"\x8c": (1, True),
    b"\x8d": (8, True),
    b"B": (4, False),
    b"C": (1, False),
    b"\x8e": (8, False),
    b"T": (4, False),
    b"U": (1, False),
}
_PUTS = {b"q": 1, b"r": 4}
_GETS = {b"h": 1, b"j": 4}
