"""Rules for the size of an image. All sizes are height x width, in pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

from isostyle.checks import PlainNumbers, require_count


class Size(PlainNumbers):
    """A rule for the size of an image. All sizes are height x width, in pixels."""

    kind: str

    def fit(self, height: int, width: int, *, gpu: bool = False) -> tuple[int, int]:
        """(height, width) of what becomes of an image of ``height`` x ``width`` pixels. ``gpu``: whether the run has one."""
        raise NotImplementedError

    def scaled(self, height: int, width: int, *, gpu: bool = False) -> tuple[int, int]:
        """What it is resized to before its center is cut out; most rules cut nothing."""
        return self.fit(height, width, gpu=gpu)

    def check(self) -> None:
        """Raises InputError if a number is out of range."""
        for name, value in vars(self).items():
            if name not in ("kind", "at_most_long_side") and value is not None:
                require_count(value, "size", "pixel")


@dataclass(frozen=True)
class ExactSize(Size):
    """Both images are squeezed to exactly this many pixels, whatever their aspect."""

    height: int
    width: int
    kind: str = field(default="exact", init=False)

    def fit(self, height: int, width: int, *, gpu: bool = False) -> tuple[int, int]:
        return self.height, self.width

    def __str__(self) -> str:
        return f"exactly {self.height}x{self.width} (height x width)"


@dataclass(frozen=True)
class LongSide(Size):
    """Each image keeps its aspect; its longer side becomes this many pixels."""

    pixels: int
    kind: str = field(default="long-side", init=False)

    def fit(self, height: int, width: int, *, gpu: bool = False) -> tuple[int, int]:
        scale = self.pixels / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def __str__(self) -> str:
        return f"longer side {self.pixels}, aspect kept"


@dataclass(frozen=True)
class ShortSide(Size):
    """Each image keeps its aspect; its shorter side becomes this many pixels, the other is truncated (torchvision's Resize)."""

    pixels: int
    #: Instead of ``pixels`` where the run has no GPU.
    pixels_without_gpu: int | None = None
    #: An image whose longer side has fewer pixels gets that many on its shorter side.
    at_most_long_side: bool = False
    kind: str = field(default="short-side", init=False)

    def fit(self, height: int, width: int, *, gpu: bool = False) -> tuple[int, int]:
        short, long = sorted((height, width))
        pixels = self.pixels if gpu or self.pixels_without_gpu is None else self.pixels_without_gpu
        if self.at_most_long_side:
            pixels = min(pixels, long)
        other = int(pixels * long / short)
        return (pixels, other) if height <= width else (other, pixels)

    def __str__(self) -> str:
        without = f" (without a GPU {self.pixels_without_gpu})" if self.pixels_without_gpu else ""
        at_most = f", or as many as the longer side has, if that is below {self.pixels}" if self.at_most_long_side else ""
        return f"shorter side {self.pixels}{without}{at_most}; aspect kept, the other side truncated"


@dataclass(frozen=True)
class Square(Size):
    """The shorter side becomes this many pixels, and the square in the middle is cut out."""

    pixels: int
    kind: str = field(default="square", init=False)

    def fit(self, height: int, width: int, *, gpu: bool = False) -> tuple[int, int]:
        return self.pixels, self.pixels

    def scaled(self, height: int, width: int, *, gpu: bool = False) -> tuple[int, int]:
        return ShortSide(self.pixels).fit(height, width)

    def __str__(self) -> str:
        return f"shorter side {self.pixels}, then the {self.pixels}x{self.pixels} pixels in the middle"


@dataclass(frozen=True)
class AsIs(Size):
    """Nothing is resized."""

    kind: str = field(default="as-is", init=False)

    def fit(self, height: int, width: int, *, gpu: bool = False) -> tuple[int, int]:
        return height, width

    def __str__(self) -> str:
        return "as it is"
