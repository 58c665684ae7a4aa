"""`isostyle export`: a style network for programs that know neither isostyle nor a framework."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from isostyle.cli.help import Command
from isostyle.cli.options import FIRST, FORCE, QUIET, file_option
from isostyle.cli.progress import readable
from isostyle.errors import InputError
from isostyle.style_networks import file as style_network
from isostyle.style_networks.export import SUFFIX, onnx_bytes
from isostyle.system.files import check_outputs, write_atomically
from isostyle.transform_graph import OPSET


@click.command(cls=Command)
@click.argument("style")
@file_option(FIRST, "-o --output", "The model, .onnx [default: ./STYLE.onnx].")
@FORCE
@QUIET
def export(style: str, output: Path | None, force: bool, quiet: bool) -> None:
    """Write the network STYLE (a name of `isostyle styles`, or a file, as `isostyle apply` takes it) as an ONNX model.

    \b
      isostyle export wave -o wave.onnx
      pip install onnxruntime        and in Python:
        session = onnxruntime.InferenceSession("wave.onnx")
        painted = session.run(None, {"image": rgb})[0]

    Input `image`: float32, (batch, 3, height, width), RGB in 0..1, of any size; output `painted`: likewise. The normalization
    that the network was trained with is part of the model. Needs no package and no framework.
    """
    found = style_network.find(style)
    output = output or Path(f"{style_network.called(style)}{SUFFIX}")
    if output.suffix.lower() != SUFFIX:
        raise InputError(f"{str(output)!r} does not end in {SUFFIX}")
    check_outputs([output], [style_network.source(style)], force=force)
    data = onnx_bytes(found)
    write_atomically(output, data)
    if not quiet:
        size = f"{len(data) / 1e3:.0f} kB"
        click.echo(f"wrote {readable(output)}: {size}, ONNX operators of version {OPSET}; input `image`, RGB in 0..1")
