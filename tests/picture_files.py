"""Files of pictures that Pillow does not write, put together by hand from what they are to hold."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, color_type, *extra):
    """A PNG of 16 bits a sample, (H, W, channels), its rows by turns without a filter and with Sub, Up, Average and Paeth."""
    height, width, channels = samples.shape
    size = 2 * channels
    lines = samples.astype(">u2").reshape(height, -1).view(np.uint8).astype(int)
    out = []
    for y, line in enumerate(lines):
        left = np.concatenate([np.zeros(size, int), line[:-size]])
        above = lines[y - 1] if y else np.zeros_like(line)
        corner = np.concatenate([np.zeros(size, int), above[:-size]])
        guess = left + above - corner
        apart = np.stack([abs(guess - left), abs(guess - above), abs(guess - corner)])
        paeth = np.choose(apart.argmin(axis=0), [left, above, corner])
        filters = [np.zeros_like(line), left, above, (left + above) // 2, paeth]
        out.append(bytes([y % 5]) + ((line - filters[y % 5]) % 256).astype(np.uint8).tobytes())
    head = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(out))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def icc_chunk(profile):
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def tiff(values, *, photometric=2, order="<", deflate=False, predictor=1, planar=1, extra=(), tags=()):
    """A TIFF of one strip: values (H, W, channels) of uint8, uint16, float16, float32 or float64, in the order of bytes asked
    for. ``tags``: (number, type, values), of type SHORT (3), or UNDEFINED (7) with bytes."""
    height, width, channels = values.shape
    item = values.dtype.itemsize
    if predictor == 2:
        whole = values.view(f"u{item}").copy()
        whole[:, 1:] -= values.view(f"u{item}")[:, :-1]
        body = whole.astype(f"{order}u{item}").tobytes()
    elif predictor == 3:
        planes = values.astype(">f4").view(np.uint8).reshape(height, width * channels, 4).transpose(0, 2, 1)
        lines = planes.reshape(height, -1, channels).copy()
        lines[:, 1:] -= planes.reshape(height, -1, channels)[:, :-1]
        body = lines.tobytes()
    else:
        laid = values.transpose(2, 0, 1) if planar == 2 else values
        body = laid.astype(values.dtype.newbyteorder(order)).tobytes()
    body = zlib.compress(body) if deflate else body
    kind = 3 if values.dtype.kind == "f" else 1
    parts = channels if planar == 2 else 1
    entries = [
        (256, 3, (width,)),
        (257, 3, (height,)),
        (258, 3, (8 * item,) * channels),
        (259, 3, (8 if deflate else 1,)),
        (262, 3, (photometric,)),
        (277, 3, (channels,)),
        (278, 3, (height,)),
        (284, 3, (planar,)),
        (317, 3, (predictor,)),
        (339, 3, (kind,) * channels),
        *([(338, 3, extra)] if extra else []),
        *tags,
    ]
    size = len(body) // parts
    entries += [(273, 4, tuple(8 + i * size for i in range(parts))), (279, 4, (size,) * parts)]
    head, beyond = b"", b""
    start = 8 + len(body) + 2 + 12 * len(entries) + 4
    for tag, type_, given in sorted(entries):
        data = given if type_ == 7 else struct.pack(f"{order}{len(given)}{'H' if type_ == 3 else 'I'}", *given)
        if len(data) > 4:
            place = struct.pack(f"{order}I", start + len(beyond))
            beyond += data + b"\0" * (len(data) % 2)
        else:
            place = data.ljust(4, b"\0")
        head += struct.pack(f"{order}HHI", tag, type_, len(given)) + place
    magic = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}H", len(entries)) + head + b"\0\0\0\0"
    return magic + struct.pack(f"{order}I", 8 + len(body)) + body + directory + beyond


def needs(kind):
    """Skip a test of a format that this Pillow does not write."""
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow has no {kind}")


def fixed(number):
    return struct.pack(">i", round(number * 65536))


def profile(space=b"RGB ", gamma=2.2, primaries=None):
    """An ICC profile of version 2 with one gamma: gray, or with the colorants given as columns of XYZ (D50)."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + fixed(0.9642) + fixed(1) + fixed(0.8249)
    text = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags = {b"desc": text + bytes(-len(text) % 4), b"wtpt": white, b"cprt": b"text\0\0\0\0x\0\0\0"}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for name, column in zip((b"r", b"g", b"b"), np.array(primaries).T, strict=True):
            tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + b"".join(map(fixed, column))
            tags[name + b"TRC"] = curve
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data
    head = bytearray(128)
    head[0:4] = struct.pack(">I", 128 + len(table) + len(body))
    head[8:12] = b"\x02\x40\0\0"
    head[12:24] = b"mntr" + space + b"XYZ "
    head[24:36] = struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    head[36:40] = b"acsp"
    head[68:80] = fixed(0.9642) + fixed(1) + fixed(0.8249)
    return bytes(head) + table + body


#: Adobe RGB (1998)'s colorants, adapted to D50, and sRGB's (IEC 61966-2-1, as in ICC's own profile): columns of X, Y and Z.
ADOBE = [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
SRGB = [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]


def srgb_of(colors, primaries, gamma):
    """What colors in 0..1, (..., 3), of a profile of :func:`profile` are in sRGB, by its formulas."""
    linear = (np.asarray(colors, float) ** gamma) @ np.array(primaries).T @ np.linalg.inv(np.array(SRGB)).T
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def saved(picture, kind, **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def heic(picture, exif=None, **how):
    """A HEIC file of a picture, as good as it can be. Its orientation is in irot and imir, and in its EXIF."""
    pillow_heif = pytest.importorskip("pillow_heif")
    made = pillow_heif.from_pillow(picture)
    if exif is not None:
        made.info["exif"] = how["exif"] = exif.tobytes()
    stream = io.BytesIO()
    made.save(stream, quality=100, chroma=444, **how)
    return stream.getvalue()


def heic_of_samples(values, mode):
    """A HEIC file of 10 bits a sample, of values of 16: (H, W, channels)."""
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    size = (values.shape[1], values.shape[0])
    pillow_heif.from_bytes(mode, size, values.tobytes()).save(stream, quality=100, chroma=444)
    return stream.getvalue()


def heic_of_several(*colors, primary):
    """A HEIC file of several pictures, of which that of the number ``primary`` is to be shown."""
    pillow_heif = pytest.importorskip("pillow_heif")
    made, stream = pillow_heif.HeifFile(), io.BytesIO()
    for color in colors:
        made.add_from_pillow(Image.new("RGB", (32, 32), color))
    made.save(stream, quality=100, primary_index=primary)
    return stream.getvalue()


class Page:
    """A page of :func:`tiff_of_pages`: values (H, W, channels) of uint8, further ``tags``, and the pages ``inner`` of it."""

    def __init__(self, values, tags=(), inner=(), photometric=2):
        self.values, self.tags, self.inner, self.photometric = values, dict(tags), inner, photometric


def plain(color, height=24, width=32):
    return np.full((height, width, 3), color, np.uint8)


def tiff_of_pages(*pages, order="<", big=False):
    """A TIFF of several directories, and those in them (SubIFDs)."""
    offset, count, link = ("Q", "Q", 8) if big else ("I", "H", 4)
    magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    data = bytearray(magic + (struct.pack(f"{order}HHQ", 8, 0, 0) if big else bytes(4)))

    def put(numbers):
        place = len(data)
        data.extend(struct.pack(f"{order}{len(numbers)}{offset}", *numbers))
        return place

    def add(page):
        """Write a page; where its directory begins, and where the offset of the next one stands."""
        inner = [add(each)[0] for each in page.inner]
        height, width, channels = page.values.shape
        strip = len(data)
        data.extend(page.values.tobytes())
        tags = {
            256: [width],
            257: [height],
            258: [8] * channels,
            259: [1],
            262: [page.photometric],
            273: [strip],
            277: [channels],
        }
        tags |= {278: [height], 279: [page.values.size], **{tag: [value] for tag, value in page.tags.items()}}
        tags |= {330: inner} if inner else {}
        entries = [(tag, values, values[0] if len(values) == 1 else put(values)) for tag, values in sorted(tags.items())]
        start = len(data)
        data.extend(struct.pack(f"{order}{count}", len(entries)))
        for tag, values, value in entries:
            data.extend(struct.pack(f"{order}HH{offset}{offset}", tag, 16 if big else 4, len(values), value))
        data.extend(bytes(link))
        return start, len(data) - link

    place = 8 if big else 4
    for page in pages:
        start, following = add(page)
        struct.pack_into(f"{order}{offset}", data, place, start)
        place = following
    return bytes(data)


def waves(channels=3, dtype=np.uint16, size=(23, 31)):
    """A picture whose every sample says something: (H, W, channels)."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    found = [0.5 + 0.45 * np.sin(x / (3 + i) + y * (i + 1) / 7) for i in range(channels)]
    values = np.stack(found, -1)
    return values.astype(dtype) if np.dtype(dtype).kind == "f" else np.rint(values * np.iinfo(dtype).max).astype(dtype)


#: Colors that somebody may have left under an alpha of 0.
HIDDEN = [(255, 255, 255), (0, 0, 0), (0, 255, 90)]
#: The color of a cut-out object.
OBJECT = (85, 7, 7)


def disc(height=60, width=80, radius=24.0):
    """Alpha in 0..1: a disc with a soft rim."""
    y, x = np.mgrid[0:height, 0:width]
    return np.clip(radius - np.hypot(y - height / 2, x - width / 2) + 0.5, 0, 1)


def cut_out(hidden, color=None):
    """An RGBA picture of a disc: waves, or of one color; ``hidden`` is what nobody sees."""
    alpha = np.rint(255 * disc())[..., None]
    values = waves(3, np.uint8, (60, 80)) if color is None else np.full((60, 80, 3), color)
    return Image.fromarray(np.concatenate([np.where(alpha > 0, values, hidden), alpha], -1).astype(np.uint8))


def painting(size=(60, 80)):
    return Image.fromarray(waves(3, np.uint8, size)[..., ::-1].copy())


def turned_exif(orientation=6):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif
