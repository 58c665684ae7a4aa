"""Other programs' files of VGG weights -> parameters of this project's networks.

Each format is first read as an index: which tensors there are, of which shape, and where in the file their numbers stand. Then
names are matched with the network's table, and only the convolutions are read: the classifier, six sevenths of VGG-19's file,
is left where it is. Nothing in a file is ever run (see :mod:`isostyle.weights.formats.pickles`), and no framework is needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isostyle.errors import InputError, IsostyleError
from isostyle.interface import Parameters
from isostyle.network import RGB_MEAN, RGB_STD, VGG16, VGG19, Network
from isostyle.system.files import reason
from isostyle.weights.formats.index import index_of
from isostyle.weights.formats.stored import FLOATS, Index, Stored
from isostyle.weights.published import Preprocessing
from isostyle.weights.sources import Source

#: Source: Simonyan and Zisserman's model cards for Caffe (VGG_ILSVRC_16_layers, _19_layers); the order is B, G, R.
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
CAFFE_RANGE = 255.0
#: Bytes: two of VGG-19 in float64. A tensor's storage is read whole, and can be larger than the tensor.
MAX_STORAGE = 2**28

#: What programs put before names.
PREFIX = re.compile(r"(module\.|arg:)?(vgg\d+_)?")
#: The classifier, which is not needed: torchvision and Paddle; timm; gluon, new and old; Keras.
CLASSIFIER = re.compile(r"classifier\.|pre_logits\.|head\.|output\.|dense\d+_|fc\d|predictions|StructuredToParameterName@@")
BATCH_NORM = re.compile(r"running_mean|running_var|num_batches|gamma|beta|batchnorm|\._mean|\._variance|moving_mean|moving_var")
#: Dimensions of a convolution's weights.
KERNEL_DIMENSIONS = 4


@dataclass(frozen=True)
class Checkpoint:
    """What was read: the convolutions only, float32, ready for core's normalized images."""

    network: Network
    parameters: Parameters
    #: pytorch-zip, pytorch-legacy, safetensors, paddle, mxnet, keras or wheel.
    format: str
    preprocessing: Preprocessing
    #: Of the tensors in the file.
    dtype: str


def read(
    source: Source, networks: Sequence[Network] = (VGG19, VGG16), preprocessing: Preprocessing | None = None
) -> Checkpoint:
    """The network in a file, one of ``networks``, recognized by the shapes of its tensors. ``preprocessing`` is what it expects
    of its input; by default caffe for Keras' files, and torchvision for others. Raises InputError if the file is damaged, of
    another format or network, or would have to run something."""
    try:
        form, index = index_of(source)
        network, places = recognize(index, networks, source.name)
        parameters = load(index, places, source)
        wanted = preprocessing or ("caffe" if form == "keras" else "torchvision")
        if wanted == "caffe":
            parameters = fold_caffe(network, parameters)
        for parameter, array in parameters.items():
            if not np.isfinite(array).all():
                raise InputError(f"{source.name} has values in {places[parameter]!r} that are not finite")
        dtypes = sorted({index[own].dtype for own in places.values()})
        return Checkpoint(network, parameters, form, wanted, "+".join(dtypes))
    except (IsostyleError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes the libraries that read it raise nearly anything
        raise InputError(f"{source.name} is damaged, or no file of weights: {reason(error)[:200]}") from error


def recognize(index: Index, candidates: Sequence[Network], name: str) -> tuple[Network, dict[str, str]]:
    """The network whose convolutions these are, and which tensor each of its parameters is. Raises InputError if there is none,
    and names the tensor that is wrong with the nearest one."""
    if (norm := next((own for own in index if BATCH_NORM.search(own)), None)) is not None:
        raise InputError(f"{name} is a VGG with batch normalization (it holds {norm!r}), which isostyle has not")
    matches = [(network, *match(index, network)) for network in candidates]
    network, places, problem = max(matches, key=lambda each: (not each[2], len(each[1])))  # the first of equals
    if problem:
        names = " or ".join(candidate.name for candidate in candidates)
        raise InputError(f"{name} is not the weights of {names}: {problem}")
    return network, places


def match(index: Index, network: Network) -> tuple[dict[str, str], str]:
    """The tensor's name for each parameter of ``network`` that fits, and the first thing that is wrong; empty if nothing is."""
    names, expected = names_in(network), network.parameter_shapes
    found: dict[str, str] = {}
    problems = []
    for own, stored in index.items():
        bare = PREFIX.sub("", own, 1)
        parameter = names.get(bare)
        if parameter is None:
            if not is_classifier(bare, stored):
                problems.append(f"it holds {own!r} of shape {stored.shape}, which {network.name} has not")
        elif parameter in found:
            problems.append(f"{found[parameter]!r} and {own!r} would both be {parameter}")
        elif stored.shape != expected[parameter]:
            problems.append(f"{own!r} has the shape {stored.shape}; {network.name} has {expected[parameter]} there")
        elif stored.dtype not in FLOATS:
            problems.append(f"{own!r} is {stored.dtype}; weights are float32 (or float16, bfloat16, float64)")
        else:
            found[parameter] = own
    for theirs, parameter in names.items():
        if parameter not in found:
            problems.append(f"it lacks {parameter} of {network.name} ({theirs!r} in torchvision's numbering)")
    return {parameter: found[parameter] for parameter in expected if parameter in found}, "".join(problems[:1])


def names_in(network: Network) -> dict[str, str]:
    """The parameter (``conv1_1.weight``) that a name in a file stands for. ``features.0.weight`` counts all layers (of torch,
    timm, Paddle and gluon), ``conv0_weight`` the convolutions (of old gluon)."""
    layers = [(layer, kind) for layer in network.convolutions for kind in ("weight", "bias")]
    found = {f"features.{layer.index}.{kind}": f"{layer.name}.{kind}" for layer, kind in layers}
    found |= {f"conv{place // 2}_{kind}": f"{layer.name}.{kind}" for place, (layer, kind) in enumerate(layers)}
    return found | {name: name for name in network.parameter_shapes}


def is_classifier(bare: str, stored: Stored) -> bool:
    """Whether it belongs to the classifier. gluon counts its dense layers on from the convolutions: features.37.weight."""
    return bool(CLASSIFIER.match(bare)) or (bare.startswith("features.") and len(stored.shape) < KERNEL_DIMENSIONS)


def load(index: Index, places: Mapping[str, str], source: Source) -> Parameters:
    """The parameters as float32; tensors that follow one another in a storage read it once."""
    regions = {own: index[own].region for own in places.values()}
    for own, (start, end) in regions.items():
        if end - start > MAX_STORAGE:
            raise InputError(f"{source.name} has {own!r} in a storage of {end - start} bytes; save the convolutions apart")
    source.fetch([*regions.values()])
    shared, data = None, b""
    parameters = {}
    for parameter, own in places.items():
        if index[own].read is not shared:
            shared = index[own].read
            data = shared()
        try:
            parameters[parameter] = index[own].array(data)
        except (TypeError, ValueError):
            raise InputError(f"{source.name} holds {own!r} damaged: it reaches beyond its storage") from None
    return parameters


def fold_caffe(network: Network, parameters: Parameters) -> Parameters:
    """The same network for this project's input: conv1_1 takes over the change of colors, range and mean.

    Caffe's VGGs see c = 255 rgb - mean with the channels turned round (B, G, R); here x = (rgb - RGB_MEAN) / RGB_STD. So, for
    the color k and Caffe's channel c of the same color,

        W'[:, k] = 255 RGB_STD[k] W[:, c]        b' = b + sum over k of (255 RGB_MEAN[k] - mean[c]) * sum of W[:, c]

    computed in float64 and rounded once to float32. What cannot be folded is the zero padding: a zero means ImageNet's mean
    color here and Caffe's mean there, at most 0.5 of 255 apart, so maps differ slightly where they see over the picture's edge.
    """
    first = network.convolutions[0].name
    weight = np.asarray(parameters[f"{first}.weight"], np.float64)[:, ::-1]  # B, G, R -> R, G, B
    shift = CAFFE_RANGE * np.array(RGB_MEAN) - np.array(CAFFE_MEAN_BGR[::-1])
    bias = parameters[f"{first}.bias"].astype(np.float64) + (weight.sum(axis=(2, 3)) * shift).sum(axis=1)
    weight = weight * (CAFFE_RANGE * np.array(RGB_STD))[:, None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        folded = {f"{first}.weight": np.ascontiguousarray(weight, np.float32), f"{first}.bias": bias.astype(np.float32)}
    return {**parameters, **folded}
