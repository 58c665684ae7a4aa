"""Hostile files against the command line: is each met with a right result, or with one sentence and exit code 2?

    python scripts/fuzz.py [--inputs 400] [--seed N] [--backend torch] [--only traces] [--write docs/reproducing.md]

Pictures, weights, style networks, recipes, manifests, checkpoints of runs and of trainings, tables of a batch, traces, and
declared deviations are made, and changed at random (bits flipped, bytes overwritten, cut, doubled, numbers made huge; in traces
behind digests that fit); to them come files made to harm: bombs, lying headers, sizes of zero. Each goes through the command
that takes it, within 10 seconds and 1 GB beyond what the program takes anyway. What counts as lost: an input that changed, a
picture that is no longer as it was, or a file left behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image, ImageCms
from tables import publish

import isostyle
from isostyle.cli.main import main as command_line
from isostyle.conformance import trace
from isostyle.conformance.bench.report import markdown
from isostyle.conformance.inputs import NARROW
from isostyle.conformance.make_inputs import narrow_parameters, weights_file
from isostyle.published import find
from isostyle.recipe_text import to_toml
from isostyle.style_networks import file as style_network
from isostyle.style_networks.file import StyleNetwork
from isostyle.style_networks.trainer import first_parameters
from isostyle.transform_network import TransformNetwork

#: What the issue allows.
SECONDS, BYTES = 10.0, 10**9
#: A worker is started afresh after so many commands, so that what one leaves behind in memory is not blamed on the next.
COMMANDS = 100
EXIT_INPUT, EXIT_FAILED = 2, 1
OUTCOMES = (
    "right results",
    "clean errors",
    "runs that diverge, traces that differ (exit 1)",
    "tracebacks",
    "hangs",
    "crashes",
    "more than 1 GB",
    "lost",
)
GOOD = 3


# Files


def waves(phase: float = 0.0, mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[0:40, 0:60]
    values = np.stack([np.sin(x / 5 + phase), np.cos(y / (3 + phase)), np.sin(x * y / 90 + phase)], -1)
    return Image.fromarray((127 + 120 * values).astype(np.uint8)).convert(mode)


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def wide_profile() -> bytes:
    """sRGB's profile, with its red moved, so that something is to be converted."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    place = profile.index(b"rXYZ")
    (offset,) = struct.unpack_from(">I", profile, place + 4)
    struct.pack_into(">i", profile, offset + 8, 36000)
    return bytes(profile)


def pictures() -> Iterator[tuple[str, bytes]]:
    """Of each format and mode; names tell the kind."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "plain.png", saved(waves(), "PNG")
    yield "palette.png", saved(waves().quantize(16), "PNG", transparency=3)
    yield "alpha.png", saved(waves(mode="RGBA"), "PNG", icc_profile=profile)
    yield "gray16.png", saved(Image.fromarray(np.asarray(waves(mode="L")).astype(np.uint16) * 257), "PNG")
    yield "bits.png", saved(waves(mode="1"), "PNG")
    yield "turned.jpg", saved(waves(), "JPEG", exif=exif, icc_profile=profile)
    yield "progressive.jpg", saved(waves(), "JPEG", progressive=True)
    yield "cmyk.jpg", saved(waves(mode="CMYK"), "JPEG")
    yield "lzw.tif", saved(waves(), "TIFF", compression="tiff_lzw")
    yield "float.tif", saved(waves(mode="F").point(lambda value: value / 255), "TIFF")
    yield "shares.png", saved(waves().quantize(16), "PNG", transparency=bytes(range(0, 256, 16)))
    yield "rgb16.png", png_of_16_bits(chunk(b"iCCP", b"x\0\0" + zlib.compress(wide_profile())))
    yield "clear16.png", png_of_16_bits(chunk(b"tRNS", struct.pack(">3H", 3, 260, 517)))
    yield "rgb16.tif", tiff(np.asarray(waves()).astype("<u2") * 257, 2)
    yield "rgbfloat.tif", tiff((np.asarray(waves()) / 255).astype("<f4"), 2)
    yield "predicted.tif", tiff(np.zeros((40, 60, 3), "<f4"), 2, predictor=3)
    yield "lab.tif", tiff(np.asarray(waves()), 8)
    yield "cmyk.tif", saved(waves(mode="CMYK"), "TIFF", icc_profile=profile)
    yield "wide.jpg", saved(waves(), "JPEG", icc_profile=wide_profile())
    yield "frames.tif", saved(waves(), "TIFF", save_all=True, append_images=[waves(1.0)])
    yield "frames.png", saved(waves(), "PNG", save_all=True, append_images=[waves(1.0)])
    yield "frames.gif", saved(waves(), "GIF", save_all=True, append_images=[waves(1.0), waves(2.0)])
    yield "small.bmp", saved(waves(), "BMP")
    yield "small.ppm", saved(waves(), "PPM")
    if "WEBP" in Image.SAVE:
        yield "small.webp", saved(waves(), "WEBP", exif=exif)
    if "AVIF" in Image.SAVE:
        yield "small.avif", saved(waves(), "AVIF", exif=exif, icc_profile=wide_profile())


def png_of_16_bits(*extra: bytes) -> bytes:
    values = np.asarray(waves()).astype(">u2") * 257 + 3
    lines = b"".join(b"\0" + line.tobytes() for line in values.astype(">u2"))
    head = struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + b"".join(extra) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(values: np.ndarray[Any, Any], photometric: int, *, predictor: int = 1) -> bytes:
    """A TIFF of one deflated strip, (H, W, channels), which Pillow does not write."""
    height, width, channels = values.shape
    body = zlib.compress(values.tobytes())
    tags: list[tuple[int, int, tuple[int, ...]]] = [
        (256, 3, (width,)),
        (257, 3, (height,)),
        (258, 3, (8 * values.dtype.itemsize,) * channels),
        (259, 3, (8,)),
        (262, 3, (photometric,)),
        (273, 4, (8,)),
        (277, 3, (channels,)),
        (278, 3, (height,)),
        (279, 4, (len(body),)),
        (317, 3, (predictor,)),
        (339, 3, (3 if values.dtype.kind == "f" else 1,) * channels),
    ]
    head, beyond, start = b"", b"", 8 + len(body) + 2 + 12 * len(tags) + 4
    for tag, kind, given in tags:
        data = struct.pack(f"<{len(given)}{'H' if kind == 3 else 'I'}", *given)
        head += struct.pack("<HHI", tag, kind, len(given))
        head += data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", start + len(beyond))
        beyond += data if len(data) > 4 else b""
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + head + bytes(4) + beyond


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    size = len(data) if length is None else length
    return struct.pack(">I", size) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes, pixels: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + b"".join(extra)
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


def made_to_harm() -> Iterator[tuple[str, bytes]]:
    """Pictures that no camera makes."""
    row = b"\0" + b"\x80" * 180
    whole = row * 40
    zeros = zlib.compress(bytes(300 * 2**20), 9)
    yield "bomb.png", png(60000, 60000)
    yield "long.png", png(2**31 - 1, 1)
    yield "nothing.png", png(0, 0)
    yield "flat.png", png(60, 0)
    yield "short.png", png(60, 40, pixels=row)
    yield "icc-bomb.png", png(60, 40, chunk(b"iCCP", b"x\0\0" + zeros), pixels=whole)
    yield "text-bomb.png", png(60, 40, chunk(b"zTXt", b"x\0\0" + zeros), pixels=whole)
    yield "icc-noise.png", png(60, 40, chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(range(256)) * 9)), pixels=whole)
    yield "lying-length.png", png(60, 40, chunk(b"tEXt", b"x\0y", 2**31 - 1), pixels=whole)
    good = saved(waves(), "JPEG")
    place = good.index(b"\xff\xc0") + 5
    yield "huge.jpg", good[:place] + b"\xff\xff\xff\xff" + good[place + 4 :]
    yield "zero.jpg", good[:place] + b"\0\0\0\0" + good[place + 4 :]
    for name, entry in (
        ("offset", b"\x01\x12\x00\x03\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("orientation", b"\x01\x12\x00\x03\0\0\0\x01\0\x63\0\0"),
    ):
        body = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"
        yield f"exif-{name}.jpg", good[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + good[2:]
    body = b"ICC_PROFILE\0\x01\x01" + b"\xff" * 200
    yield "icc-noise.jpg", good[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + good[2:]
    tif = bytearray(saved(waves(), "TIFF"))
    for i in range(int.from_bytes(tif[4:8], "little") + 2, len(tif) - 12, 12):
        tif[i + 4 : i + 8] = b"\xff\xff\xff\x7f"
    yield "counts.tif", bytes(tif)
    yield "lying16.png", png_of_16_bits().replace(struct.pack(">II", 60, 40), struct.pack(">II", 13000, 13000), 1)
    wide = bytearray(tiff((np.asarray(waves()) / 255).astype("<f4"), 2))
    start = int.from_bytes(wide[4:8], "little") + 2
    for place in (start, start + 12):
        struct.pack_into("<HHII", wide, place, int.from_bytes(wide[place : place + 2], "little"), 4, 1, 7000)
    yield "lying-float.tif", bytes(wide)
    yield "loop.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0"
    yield "canvas.gif", b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"
    yield "empty.png", b""
    yield "text.png", b"this is no picture\n"
    yield "lines.ppm", b"P6\n99999999 99999999\n255\n"


def mutated(data: bytes, chance: random.Random) -> bytes:
    """``data``, changed in one to three ways."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        if not changed:
            break
        place = chance.randrange(len(changed))
        # Headers stand at the beginning, and most harm is done there.
        place = place if chance.random() < 0.5 else chance.randrange(min(len(changed), 200))
        length = chance.randint(1, max(1, min(64, len(changed) // 4)))
        match chance.randrange(8):
            case 0:
                for _ in range(chance.randint(1, 16)):
                    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            case 1:
                del changed[place:]
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = changed[place : place + length]
            case 4:
                changed[place : place + length] = chance.choice([b"\xff", b"\0", b"9", b'"', b"["]) * length
            case 5:
                changed[place:place] = chance.randbytes(length)
            case 6:
                number = chance.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**16])
                changed[place : place + 4] = struct.pack(chance.choice("<>") + "I", number)
            case 7:
                changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def reworded(data: bytes, chance: random.Random) -> bytes:
    """A JSON or a safetensors header with one value changed for another that is JSON, too: what a digest does not catch."""
    start = 8 if data[8:9] == b"{" else 0
    length = int.from_bytes(data[:8], "little") if start else len(data)
    try:
        tree = json.loads(data[start : start + length])
    except ValueError:
        return mutated(data, chance)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key, value in list(node.items()) if isinstance(node, dict) else list(enumerate(node)):
            places.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    if not isinstance(tree, dict | list) or not tree:
        return mutated(data, chance)
    walk(tree)
    node, key = chance.choice(places)
    node[key] = chance.choice([None, -1, 0, 10**400, 1e308, "", "x" * 5000, "\x1b[2J", [], {}, [[]] * 50, True, float("nan")])
    if chance.random() < 0.3 and isinstance(node, dict):
        del node[key]
    text = json.dumps(tree).encode()
    if not start:
        return text
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def repacked(data: bytes, chance: random.Random) -> bytes:
    """An archive with one member changed, another name for it, twice, or without it: what its checksums do not catch."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, ValueError, OSError):
        return mutated(data, chance)
    place = chance.randrange(len(members))
    name, array = members[place]
    match chance.randrange(8):
        case 0:
            del members[place]
        case 1:
            members.append((name, mutated(array, chance)))
        case 2:
            # zipfile writes no empty name, and ends one at a NUL.
            changed = mutated(name.encode(), chance).decode(errors="replace").replace("\0", "")
            members[place] = (changed or "x", array)
        case 3:
            members[place] = (name, chance.choice(members)[1])
        case _:
            members[place] = (name, mutated(array, chance))
    return packed(members)


def packed(members: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


# Traces


#: One case of each sort of number, quick to record.
TRACED = ("terms/d2l/minimal", "gradient/d2l/minimal", "run/d2l/photo", "recipe/d2l", "resize/half", "native-adam/1")


def npy(head: str, body: bytes = b"") -> bytes:
    """A file of an array whose header says ``head``."""
    text = head.encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + body


def traces_made_to_harm() -> Iterator[tuple[str, bytes]]:
    """Parts of traces that no program records; each is met in the backend's trace, and in the oracle's."""
    point = "float32|gradient/d2l/minimal|gradient.npy"
    about = "{{'descr': {}, 'fortran_order': False, 'shape': {}}}\n"
    points = {
        "zeros": [(point, npy(about.format("'|i1'", "(200000000,)"), bytes(200 * 10**6)))],
        "many": [(f"float32|case|{i}.npy", b"") for i in range(20000)],
        "endless": [(point, npy(about.format("'<f4'", "(1099511627776,)")))],
        "negative": [(point, npy(about.format("'<f4'", "(-1, 5)")))],
        "objects": [(point, npy(about.format("'|O'", "(1,)"), b"cos\nsystem\n(S'true'\ntR."))],
        "wide": [(point, npy(about.format("'<U536870911'", "(1,)")))],
        "fields": [(point, npy(about.format("[('a', '<f4')] * 9", "(1,)")))],
        "nested": [(point, npy("(" * 5000))],
        "names": [("../../float32|a|b.npy", npy(about.format("'<f4'", "()"), bytes(4)))],
    }
    archives = [packed(members) for members in points.values()]
    for place in ("trace", "oracle"):
        for data in archives:
            yield f"{place}/points.npz", data
        yield f"{place}/points.npz", b""
        for text in ("[" * 10**6, '{"a":' * 10**5, "9" * 10**5, '{"schema": NaN}', "[" + "0," * 10**7 + "0]", r'"\ud800"'):
            yield f"{place}/run.json", text.encode()
    for text in ("a=" + "[" * 10**5, "a=" + "{a=" * 10**4, "[deviation]", "deviation = 3", "deviation = [[]]"):
        yield "torch.toml", text.encode()
    pattern = "*a" * 200 + "b"
    declared = f'[[deviation]]\nexpect = "fail"\ncase = "*"\ndtype = "{pattern}"\npoints = ["{pattern}"]\nreason = "r"\n'
    yield "torch.toml", (declared * 100).encode()


def seal(folder: Path, name: str) -> None:
    """Make the digests of a trace fit its changed files, as far as that can be done: as somebody would who knows the format."""
    run, points = (folder / name).with_name(trace.RUN), (folder / name).with_name(trace.POINTS)
    if name not in (f"{run.parent.name}/{trace.RUN}", f"{run.parent.name}/{trace.POINTS}"):
        return
    try:
        table = json.loads(run.read_bytes())
        if name.endswith(trace.POINTS):
            table["points_sha256"] = hashlib.sha256(points.read_bytes()).hexdigest()
        table["run_sha256"] = trace.digest(table)
        run.write_text(json.dumps(table, indent=1))
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass  # no table any more


# Kinds of files, and the commands that take them


@dataclasses.dataclass(frozen=True)
class Kind:
    """Files of one kind: good ones, and what `isostyle` is told to do with one."""

    name: str
    files: list[tuple[str, bytes]]
    #: Of the file's name.
    command: Callable[[str], list[str]]
    #: Made to harm; taken as they are, once each.
    harmful: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)
    #: Files that a command needs as they are, and that are made so again after each.
    kept: dict[str, bytes] = dataclasses.field(default_factory=dict)
    #: Done to the folder when a file of this name has been put there.
    after: Callable[[Path, str], None] | None = None


def kinds(folder: Path, backend: str) -> list[Kind]:
    """All kinds; good files of those that isostyle writes are made by it, in ``folder``."""
    small = ["--backend", backend, "--size", "32", "--threads", "1", "-o", "out.png", "--quiet"]
    for name, phase in (("photo", 0.0), ("painting", 1.5)):
        waves(phase).save(folder / f"{name}.png")
    table = b'recipe = "painterly"\nsteps = 2\ncontents = ["photo.png"]\nstyles = ["painting.png"]\n'
    table += b'[[run]]\ncontent = "photo.png"\nstyle = "painting.png"\noutput = "x.png"\n'
    run = ["run", "--steps", "1", *small, "--"]
    return [
        Kind("pictures", list(pictures()), lambda name: [*run, name, "painting.png"], list(made_to_harm())),
        Kind(
            "weights",
            [("w.safetensors", weights_file(NARROW, narrow_parameters(np.random.RandomState(0))))],
            lambda name: ["run", "--network", name, *run[1:], "photo.png", "painting.png"],
        ),
        Kind(
            "recipes",
            [(f"{name}.toml", to_toml(find(name)).encode()) for name in ("d2l", "tutorial", "gatys2016")],
            lambda name: ["recipes", name],
        ),
        Kind(
            "tables of a batch",
            [("t.toml", table), ("t.csv", b"content,style,steps\nphoto.png,painting.png,2\n")],
            lambda name: ["batch", name, "-o", "out", "--", "--seed", "never"],
        ),
        *kinds_of_runs(folder, backend, small),
        *kinds_of_style_networks(folder, backend),
        *kinds_of_traces(folder, backend),
    ]


def kinds_of_runs(folder: Path, backend: str, small: list[str]) -> list[Kind]:
    call(["run", "photo.png", "painting.png", "--steps", "2", "--history", "out.csv", *small], folder)
    manifest = (folder / "out.json").read_bytes()
    for name in ("out.png", "out.json", "out.csv"):
        (folder / name).unlink()
    checkpoint = stopped(folder, backend)
    return [
        Kind("manifests", [("m.json", manifest)], lambda name: ["rerun", name, "-o", "out.png", "--quiet"]),
        Kind("checkpoints of runs", [("c.checkpoint", checkpoint)], lambda name: ["resume", name, "-o", "out.png", "--quiet"]),
    ]


def kinds_of_style_networks(folder: Path, backend: str) -> list[Kind]:
    tiny = TransformNetwork((2, 3, 4), 1)
    network = style_network.dump(
        StyleNetwork(tiny, first_parameters(tiny, 0), {"tiny": saved(waves(), "PNG")}, {"recipe": {}}, [])
    )
    (folder / "net.safetensors").write_bytes(network)
    (folder / "photos").mkdir()
    for i in range(12):
        waves(i / 3).save(folder / "photos" / f"{i}.png")
    train = ["train", "painting.png", "photos", "--backend", backend, "--width", "2,3,4", "--blocks", "1", "--crop", "32"]
    train += ["--style-size", "40", "--batch", "1", "--threads", "1", "--steps", "1", "-o", "t.safetensors", "--quiet"]
    call(train, folder)
    training = (folder / "t.safetensors.checkpoint").read_bytes()
    for name in ("t.safetensors", "t.safetensors.checkpoint"):
        (folder / name).unlink()
    apply = ["--backend", backend, "-o", "out.png", "--quiet"]
    return [
        Kind(
            "pictures through a style network",
            list(pictures()),
            lambda name: ["apply", "net.safetensors", name, "--bits", "16", *apply],
            list(made_to_harm()),
        ),
        Kind("style networks", [("n.safetensors", network)], lambda name: ["apply", name, "photo.png", *apply]),
        Kind("checkpoints of trainings", [("t.safetensors.checkpoint", training)], lambda name: [*train, "--resume"]),
    ]


def kinds_of_traces(folder: Path, backend: str) -> list[Kind]:
    files, harmful = recorded(folder, backend), list(traces_made_to_harm())
    declared = '[[deviation]]\nexpect = "skip"\ncase = "native-*"\npoints = ["*"]\ndtype = "*"\nreason = "so it is"\n'
    files |= {"torch.toml": declared.encode()}
    compare = ["conform", "compare", "trace", "other", "--reference", "oracle", "--deviations", f"{backend}=torch.toml"]
    compare += ["--json", "out.json", "--junit", "out.xml", "--html", "out.html", "--quiet"]
    return [
        Kind(
            "traces",
            [(name, data) for name, data in files.items() if name.startswith(("trace/", "oracle/"))],
            lambda name: compare,
            [(name, data) for name, data in harmful if "/" in name],
            files,
            seal,
        ),
        Kind(
            "deviations declared for traces",
            [("torch.toml", files["torch.toml"])],
            lambda name: compare,
            [(name, data) for name, data in harmful if "/" not in name],
            files,
        ),
    ]


def recorded(folder: Path, backend: str) -> dict[str, bytes]:
    """Files of the traces of the oracle, of a backend, and of another one that computes the same."""
    cases = [f"--case={case}" for case in TRACED]
    for name, place in (("oracle", "oracle"), (backend, "trace")):
        call(["conform", "record", name, "-o", place, *cases, "--threads", "1", "--quiet"], folder)
    (folder / "other").mkdir()
    other = trace.load(folder / "trace")
    dataclasses.replace(other, run={**other.run, "backend": "other"}).save(folder / "other")
    found = {
        f"{place}/{file}": (folder / place / file).read_bytes()
        for place in ("oracle", "trace", "other")
        for file in (trace.RUN, trace.POINTS)
    }
    for place in ("oracle", "trace", "other"):
        shutil.rmtree(folder / place)
    return found


def call(arguments: list[str], folder: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "isostyle", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"isostyle {' '.join(arguments)}: {done.stderr}")


def stopped(folder: Path, backend: str) -> bytes:
    """The checkpoint of a run of Adam that was stopped."""

    def stop(event: Any) -> None:
        if event.evaluation == 2:
            raise KeyboardInterrupt

    path = folder / "stopped.ckpt"
    keep = {"picture": str(folder / "out.png"), "history": None, "plot": None, "save_every": None}
    with contextlib.suppress(isostyle.Interrupted):
        isostyle.stylize(
            folder / "photo.png",
            folder / "painting.png",
            size=32,
            steps=3,
            backend=backend,
            threads=1,
            checkpoint=path,
            keep=keep,
            callback=stop,
        )
    data = path.read_bytes()
    path.unlink()
    return data


# Trying them


def work() -> None:
    """A worker: carries out commands that come as lines of JSON, in its own process, and tells what became of each."""
    answers = sys.stdout
    for line in sys.stdin:
        arguments = json.loads(line)
        before = resident(peak=False)
        Path("/proc/self/clear_refs").write_text("5")
        out, err = io.StringIO(), io.StringIO()
        began, code, raised = time.monotonic(), None, ""
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                command_line(arguments)
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            raised = traceback.format_exc()
        answer = {
            "code": code,
            "err": err.getvalue(),
            "trace": raised,
            "seconds": time.monotonic() - began,
            "bytes": resident(peak=True) - before,
        }
        print(json.dumps(answer), file=answers, flush=True)


def resident(*, peak: bool) -> int:
    text = Path("/proc/self/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmHWM" if peak else "VmRSS"))
    return 1024 * int(line.split()[1])


class Worker:
    """A process that carries out commands, and is replaced when it hangs or dies."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder, self.backend = folder, backend
        self.process: subprocess.Popen[str] | None = None
        self.count = 0

    def ask(self, arguments: list[str]) -> dict[str, Any] | str:
        """The answer; or "hangs" or "crashes"."""
        if self.process is None or self.count == COMMANDS:
            self.stop()
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), "--worker"],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self.count = 0
            # Imports a framework, which is not the first file's fault.
            warm = ["run", "photo.png", "painting.png", "--backend", self.backend, "--steps", "1", "--size", "32"]
            self.tell([*warm, "--threads", "1", "-o", "warm.png", "--force", "--quiet"])
            (self.folder / "warm.png").unlink()
            (self.folder / "warm.json").unlink()
        self.count += 1
        return self.tell(arguments)

    def tell(self, arguments: list[str]) -> dict[str, Any] | str:
        import selectors

        process = self.process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(arguments), file=process.stdin, flush=True)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            # The first command imports a framework.
            if not selector.select(SECONDS if self.count else 120):
                self.stop()
                return "hangs"
        line = process.stdout.readline()
        if not line:
            self.stop()
            return "crashes"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def outcome(answer: dict[str, Any] | str) -> str:
    """Which of :data:`OUTCOMES` it is."""
    if isinstance(answer, str):
        return answer
    lines = answer["err"].strip().splitlines()
    if answer["trace"] or "Traceback" in answer["err"]:
        return "tracebacks"
    if answer["seconds"] > SECONDS:
        return "hangs"
    if answer["bytes"] > BYTES:
        return "more than 1 GB"
    if answer["code"] == 0:
        return "right results"
    said = bool(lines) and lines[-1].startswith("isostyle: ")
    if answer["code"] == EXIT_INPUT and said:
        return "clean errors"
    if answer["code"] == EXIT_FAILED and said:
        return "runs that diverge, traces that differ (exit 1)"
    return "tracebacks"


@click.command()
@click.option(
    "--inputs", default=400, show_default=True, help="Changed files, of all kinds together; those made to harm come on top."
)
@click.option("--seed", type=int, help="[default: of the clock; it is printed]")
@click.option("--backend", default="torch", show_default=True)
@click.option("--only", default="", metavar="WORD", help="Only kinds of files that have this in their name.")
@click.option("--keep", type=click.Path(path_type=Path), metavar="FOLDER", help="Put files with a bad outcome there.")
@click.option("--write", type=click.Path(path_type=Path), metavar="PATH", help="Put the table between the marks in this file.")
@click.option("--worker", is_flag=True, hidden=True)
def main(inputs: int, seed: int | None, backend: str, only: str, keep: Path | None, write: Path | None, worker: bool) -> None:
    """Try hostile files, and print a table of what came of them."""
    if worker:
        work()
        return
    seed = time.time_ns() % 10**9 if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="isostyle-fuzz-"))
    rows, bad = [], 0
    try:
        found = kinds(folder, backend)
        crew = Worker(folder, backend)
        found = [kind for kind in found if only in kind.name]
        for kind in found:
            counts: Counter[str] = Counter()
            count = inputs // len(found)
            tried = [*kind.files, *kind.harmful]
            for _ in range(count):
                name, data = chance.choice(kind.files)
                change = reworded if chance.random() < 0.4 and b"{" in data[:9] else mutated
                change = repacked if chance.random() < 0.8 and data.startswith(b"PK") else change
                tried.append((name, change(data, chance)))
            for name, data in tried:
                file = folder / name
                for path, good in kind.kept.items():
                    (folder / path).parent.mkdir(exist_ok=True)
                    (folder / path).write_bytes(good)
                file.write_bytes(data)
                if kind.after:
                    kind.after(folder, name)
                before = digests(folder)
                answer = crew.ask(kind.command(name))
                what = outcome(answer)
                after = digests(folder)
                made = {path for path in after if path not in before}
                changed = any(after.get(path) != digest for path, digest in before.items() if not path.endswith(".checkpoint"))
                behind = [path for path in made if ".isostyle-" in path or not what.startswith(("right", "runs"))]
                what = "lost" if changed or behind else what
                counts[what] += 1
                if OUTCOMES.index(what) >= GOOD:
                    bad += 1
                    why = answer if isinstance(answer, str) else answer["trace"] or answer["err"] or answer
                    click.echo(f"{kind.name}, {name}: {what}: {why}", err=True)
                    if keep:
                        keep.mkdir(exist_ok=True)
                        (keep / f"{bad}-{name.replace('/', '-')}").write_bytes(data)
                for path in made:
                    (folder / path).unlink()
                file.unlink(missing_ok=True)
                shutil.rmtree(folder / "out", ignore_errors=True)
            for path in kind.kept:
                (folder / path).unlink(missing_ok=True)
            rows.append([kind.name, str(sum(counts.values())), *(str(counts[what]) for what in OUTCOMES)])
            click.echo(f"{kind.name}: {dict(counts)}", err=True)
        crew.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    totals = [str(sum(int(row[i]) for row in rows)) for i in range(1, len(OUTCOMES) + 2)]
    publish(f"Seed {seed}, {backend}.\n\n{markdown(['files', 'tried', *OUTCOMES], [*rows, ['all', *totals]])}", "fuzz", write)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
