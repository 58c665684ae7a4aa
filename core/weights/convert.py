"""Other programs' files of VGG weights -> parameters of this project's networks.

Each format is first read as an index: which tensors there are, of which shape, and where in the file their numbers stand. Then
names are matched with the network's table, and only the convolutions are read: the classifier, six sevenths of VGG-19's file,
is left where it is. Nothing in a file is ever run (see :mod:`isostyle.weights.formats.pickles`), and no framework is needed.

Formats: ``.pth`` of PyTorch, both the zip of 2020 and what came before; safetensors; ``.pdparams`` of Paddle, which is read
whole; ``.params`` of MXNet; ``.h5`` of Keras (with h5py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isostyle.errors import InputError, IsostyleError
from isostyle.interface import Array, Parameters
from isostyle.network import RGB_MEAN, RGB_STD, VGG16, VGG19, Layer, Network
from isostyle.system.files import reason
from isostyle.weights.formats.index import index_of
from isostyle.weights.formats.stored import FLOATS, Index, Storage, Stored
from isostyle.weights.published import Preprocessing
from isostyle.weights.sources import Source

#: Source: Simonyan and Zisserman's model cards for Caffe (VGG_ILSVRC_16_layers, _19_layers); the order is B, G, R.
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
CAFFE_RANGE = 255.0
#: Bytes: two of VGG-19 in float64. A tensor's storage is read whole, and can be larger than the tensor.
MAX_STORAGE = 2**28


@dataclass(frozen=True)
class Checkpoint:
    """What was read: the convolutions only, float32, ready for core's normalized images."""

    network: Network
    parameters: Parameters
    #: pytorch-zip, pytorch-legacy, safetensors, paddle, mxnet, keras, or program: not from a file of its own.
    format: str
    preprocessing: Preprocessing
    #: Of the tensors in the file.
    dtype: str


def read(
    source: Source, networks: Sequence[Network] = (VGG19, VGG16), preprocessing: Preprocessing | None = None
) -> Checkpoint:
    """The network in a file, recognized by the shapes of its tensors.

    Args:
        source: the file.
        networks: those that it may be.
        preprocessing: what the network expects of its input; by default caffe for Keras' files, and torchvision for others.

    Raises:
        InputError: the file is damaged, of another format or of another network; or it would have to run something.
    """
    try:
        form, index = index_of(source)
        network, places = recognize(index, networks, source.name)
        regions = {own: index[own].storage.region for own in places.values()}
        for own, (start, end) in regions.items():
            if end - start > MAX_STORAGE:
                raise InputError(f"{source.name} has {own!r} in a storage of {end - start} bytes; save the convolutions apart")
        source.fetch([*regions.values()])
        return checkpoint_of(index, network, places, form, source.name, preprocessing)
    except (IsostyleError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes the libraries that read it raise nearly anything
        raise InputError(f"{source.name} is damaged, or no file of weights: {reason(error)[:200]}") from error


def read_arrays(
    arrays: Mapping[str, Array], name: str, *, network: Network, preprocessing: Preprocessing | None = None
) -> Checkpoint:
    """The same for tensors that another program has read: arrays by name, as in its own files; ``name`` is what errors say.

    Raises:
        InputError: they are not the weights of ``network``.
    """
    index = {own: Stored(array.shape, Storage(array.dtype.name, (0, 0), array.tobytes)) for own, array in arrays.items()}
    _, places = recognize(index, [network], name)
    return checkpoint_of(index, network, places, "program", name, preprocessing)


def checkpoint_of(
    index: Index, network: Network, places: Mapping[str, str], form: str, name: str, preprocessing: Preprocessing | None
) -> Checkpoint:
    """Read the convolutions, and make them this project's."""
    parameters = load(index, places, name)
    wanted = preprocessing or ("caffe" if form == "keras" else "torchvision")
    if wanted == "caffe":
        parameters = fold_caffe(network, parameters)
    for parameter, array in parameters.items():
        if not np.isfinite(array).all():
            raise InputError(f"{name} has values in {places[parameter]!r} that are not finite")
    dtypes = sorted({index[own].storage.dtype for own in places.values()})
    return Checkpoint(network, parameters, form, wanted, "+".join(dtypes))


def fold_caffe(network: Network, parameters: Parameters) -> Parameters:
    """The same network for this project's input: conv1_1 takes over the change of colors, range and mean.

    Caffe's VGGs see c = 255 rgb - mean with the channels turned round (B, G, R); here x = (rgb - RGB_MEAN) / RGB_STD. So, for
    the color k and Caffe's channel c of the same color,

        W'[:, k] = 255 RGB_STD[k] W[:, c]        b' = b + sum over k of (255 RGB_MEAN[k] - mean[c]) * sum of W[:, c]

    computed in float64 and rounded once to float32. The other layers stay as they are. What cannot be folded is the zero
    padding: a zero means ImageNet's mean color here and Caffe's mean there, which differ by at most 0.5 of 255, so that maps
    differ slightly where they see over the edge of the picture.
    """
    first = network.convolutions[0].name
    weight = np.asarray(parameters[f"{first}.weight"], np.float64)[:, ::-1]  # B, G, R -> R, G, B
    mean = np.array(CAFFE_MEAN_BGR[::-1])
    shift = CAFFE_RANGE * np.array(RGB_MEAN) - mean
    bias = parameters[f"{first}.bias"].astype(np.float64) + (weight.sum(axis=(2, 3)) * shift).sum(axis=1)
    weight = weight * (CAFFE_RANGE * np.array(RGB_STD))[:, None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        folded = {f"{first}.weight": np.ascontiguousarray(weight, np.float32), f"{first}.bias": bias.astype(np.float32)}
    return {**parameters, **folded}


# Which tensor is which parameter

#: features.0.weight, by the place among all layers: torchvision, timm, Paddle and gluon.
BY_INDEX = re.compile(r"(?:module\.|arg:)?features\.(\d{1,3})\.(weight|bias)")
#: vgg0_conv0_weight, by the place among the convolutions: gluon of old. core's own names are the third kind.
BY_ORDINAL = re.compile(r"(?:arg:)?(?:vgg\d+_)?conv(\d{1,3})_(weight|bias)")
#: The classifier, which is not needed: torchvision and Paddle; timm; gluon, new and old; Keras.
CLASSIFIER = re.compile(
    r"(?:module\.|arg:)?(?:classifier\.|pre_logits\.|head\.|output\.|(?:vgg\d+_)?dense\d+_|fc\d|predictions|StructuredToParameterName@@)"
)
BATCH_NORM = re.compile(r"running_mean|running_var|num_batches|gamma|beta|batchnorm|\._mean|\._variance|moving_mean|moving_var")


def recognize(index: Index, candidates: Sequence[Network], name: str) -> tuple[Network, dict[str, str]]:
    """The network whose convolutions these are, and which tensor each of its parameters is.

    Raises:
        InputError: it is none of the candidates; the message names the tensor that is wrong with the nearest one.
    """
    if (norm := next((own for own in index if BATCH_NORM.search(own)), None)) is not None:
        raise InputError(f"{name} is a VGG with batch normalization (it holds {norm!r}), which isostyle has not")
    matches = [(network, *match(index, network)) for network in candidates]
    network, places, problem = max(matches, key=lambda each: (not each[2], len(each[1])))  # the first of equals
    if not problem:
        return network, places
    if not any(parameter_of(own, network) for own in index):
        some = ", ".join(repr(own) for own in list(index)[:3]) or "none at all"
        raise InputError(f"{name} holds no convolutions of a VGG; its tensors are {some} ...")
    names = " or ".join(candidate.name for candidate in candidates)
    raise InputError(f"{name} is not the weights of {names}: {problem}")


def match(index: Index, network: Network) -> tuple[dict[str, str], str]:
    """The tensor's name for each parameter of ``network`` that fits, and the first thing that is wrong; empty if nothing is."""
    expected = network.parameter_shapes
    found: dict[str, str] = {}
    problems = []
    for own, stored in index.items():
        parameter = parameter_of(own, network)
        if parameter is None:
            if not CLASSIFIER.match(own) and not is_dense(own, stored, network):
                problems.append(f"it holds {own!r} of shape {stored.shape}, which {network.name} has not")
        elif parameter in found:
            problems.append(f"{found[parameter]!r} and {own!r} would both be {parameter}")
        elif stored.shape != expected[parameter]:
            problems.append(f"{own!r} has the shape {stored.shape}; {network.name} has {expected[parameter]} there")
        elif stored.storage.dtype not in FLOATS:
            problems.append(f"{own!r} is {stored.storage.dtype}; weights are float32 (or float16, bfloat16, float64)")
        else:
            found[parameter] = own
    for parameter in expected:
        if parameter not in found:
            layer, _, kind = parameter.partition(".")
            where = f"features.{network.layer(layer).index}.{kind}"
            problems.append(f"it lacks {parameter} of {network.name} ({where!r} in torchvision's numbering)")
    return {parameter: found[parameter] for parameter in expected if parameter in found}, "".join(problems[:1])


def parameter_of(own: str, network: Network) -> str | None:
    """The parameter (``conv1_1.weight``) that a tensor's name stands for, by the network's table."""
    tables: tuple[tuple[re.Pattern[str], Sequence[Layer]], ...]
    tables = (BY_INDEX, network.layers), (BY_ORDINAL, network.convolutions)
    for pattern, layers in tables:
        found = pattern.fullmatch(own)
        if found and int(found[1]) < len(layers) and layers[int(found[1])].kind == "conv":
            return f"{layers[int(found[1])].name}.{found[2]}"
    return own if own in network.parameter_shapes else None


def is_dense(own: str, stored: Stored, network: Network) -> bool:
    """Whether it is one of gluon's dense layers, which are counted on from the convolutions: features.37.weight."""
    found = BY_INDEX.fullmatch(own)
    return found is not None and int(found[1]) >= len(network.layers) and len(stored.shape) <= 2


def load(index: Index, places: Mapping[str, str], name: str) -> Parameters:
    """The parameters as float32; each storage is read once."""
    shared: dict[Storage, list[str]] = {}
    for parameter, own in places.items():
        shared.setdefault(index[own].storage, []).append(parameter)
    parameters = {}
    for storage in sorted(shared, key=lambda storage: storage.region):
        data = storage.read()
        for parameter in shared[storage]:
            own = places[parameter]
            try:
                parameters[parameter] = index[own].array(data)
            except ValueError as error:
                raise InputError(f"{name} holds {own!r} damaged: {reason(error)}") from None
    return {parameter: parameters[parameter] for parameter in places}
