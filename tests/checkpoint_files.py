"""Files of weights as other programs write them, made without those programs; tests/data/checkpoints has some of their own."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import ClassVar

import numpy as np
from safetensors.numpy import save as safetensors_bytes

from isostyle.network import VGG16_DEPTHS, VGG19_DEPTHS, Network

#: Narrow enough for fast tests; all widths different.
WIDTHS = (2, 3, 5, 4, 6)
NARROW19 = Network("vgg19", VGG19_DEPTHS, WIDTHS)
NARROW16 = Network("vgg16", VGG16_DEPTHS, WIDTHS)
#: Of the committed files.
TINY = Network("tiny", (1, 2), (2, 3))


def random_parameters(network, seed=0):
    """He-normal weights and biases that are not small: float32, by name, in the table's order."""
    draw = np.random.RandomState(seed)
    found = {}
    for layer in network.convolutions:
        shape = (layer.out_channels, layer.in_channels, 3, 3)
        found[f"{layer.name}.weight"] = (draw.standard_normal(shape) * np.sqrt(2 / (9 * layer.in_channels))).astype(np.float32)
        found[f"{layer.name}.bias"] = (draw.standard_normal(layer.out_channels) * 0.1).astype(np.float32)
    return found


def numbered(network, parameters, *, classifier=True, size=40):
    """The same under the names that torchvision, Paddle and gluon give them: features.0.weight; and a classifier."""
    index = {layer.name: layer.index for layer in network.convolutions}
    found = {}
    for name, array in parameters.items():
        layer, kind = name.split(".")
        found[f"features.{index[layer]}.{kind}"] = array
    if classifier:
        found["classifier.0.weight"] = np.full((size, 30), 7, np.float32)
        found["classifier.0.bias"] = np.ones(size, np.float32)
    return found


# PyTorch


class Global:
    """A name that is written, and never looked up."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError


class Storage:
    def __init__(self, array, key, kind):
        self.array, self.key, self.kind = array, key, kind


class Tensor:
    def __init__(self, storage, shape, strides, offset=0):
        self.storage, self.shape, self.strides, self.offset = storage, shape, strides, offset


STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "float64": "DoubleStorage", "uint16": "BFloat16Storage"}


class Pickler(pickle._Pickler):
    """The pure Python pickler, which can be taught to write names of what is not installed."""

    def __init__(self, stream, legacy, rebuild, python2):
        super().__init__(stream, 2)
        self.legacy, self.rebuild, self.python2 = legacy, rebuild, python2

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            row = ("storage", Global("torch", obj.kind), obj.key, "cpu", obj.array.size)
            return (*row, None) if self.legacy else row
        return None

    def reducer_override(self, obj):
        if isinstance(obj, Global):
            return obj.name
        if isinstance(obj, Tensor):
            row = (obj.storage, obj.offset, obj.shape, obj.strides)
            return Global("torch._utils", self.rebuild), row if self.rebuild == "_rebuild_tensor" else (*row, False, {})
        if self.python2 and isinstance(obj, OrderedDict):
            return Global("collections", "OrderedDict"), ([[key, value] for key, value in obj.items()],)
        return NotImplemented

    def save_str(self, obj):
        if not self.python2:
            return pickle._Pickler.save_str(self, obj)
        self.write(b"U" + bytes([len(obj)]) + obj.encode())
        self.memoize(obj)

    def save_global(self, obj, name=None):
        if not isinstance(obj, Global):
            return super().save_global(obj, name)
        self.write(f"c{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, str: save_str}


def torch_state(tensors):
    found, storages = OrderedDict(), []
    for number, (name, array) in enumerate(tensors.items()):
        storages.append(Storage(array, str(94000000 + 7919 * number % 1000), STORAGES[array.dtype.name]))
        strides = tuple(step // array.itemsize for step in np.empty(array.shape, array.dtype).strides)
        found[name] = Tensor(storages[-1], array.shape, strides)
    return found, storages


def pickled(value, *, legacy=False, rebuild="_rebuild_tensor_v2", python2=False):
    stream = io.BytesIO()
    Pickler(stream, legacy, rebuild, python2).dump(value)
    return stream.getvalue()


def torch_legacy(tensors, *, rebuild="_rebuild_tensor_v2", python2=False):
    state, storages = torch_state(tensors)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    keys = sorted(storage.key for storage in storages)
    parts = [pickled(0x1950A86A20F9469CFC6C), pickled(1001), pickled(system, python2=python2)]
    parts.append(pickled(state, legacy=True, rebuild=rebuild, python2=python2))
    by_key = {storage.key: storage.array for storage in storages}
    parts.append(pickled(keys, python2=python2))
    for key in keys:
        parts += [struct.pack("<q", by_key[key].size), by_key[key].tobytes()]
    return b"".join(parts)


def torch_zip(tensors, *, compression=zipfile.ZIP_STORED, state=None):
    own, storages = torch_state(tensors)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled(own) if state is None else state)
        file.writestr("archive/byteorder", "little")
        for storage in storages:
            file.writestr(f"archive/data/{storage.key}", storage.array.tobytes())
        file.writestr("archive/version", "3\n")
    return stream.getvalue()


# The others


def safetensors(tensors):
    return safetensors_bytes({name: np.ascontiguousarray(array) for name, array in tensors.items()})


def safetensors_with(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def paddle(tensors, *, protocol=4, tuples=False):
    names = {name: f"conv2d_{number}.w_0" for number, name in enumerate(tensors)}
    values = {name: (names[name], array) if tuples else array for name, array in tensors.items()}
    return pickle.dumps(values if tuples else {**values, "StructuredToParameterName@@": names}, protocol=protocol)


def mxnet(tensors, *, version=2):
    """version 0: before magic numbers; 1, 2, 3: NDARRAY_V1_MAGIC and so on."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(tensors))]
    for array in tensors.values():
        if version:
            parts.append(struct.pack("<I", 0xF993FAC7 + version))
            parts.append(struct.pack("<i", 0) if version > 1 else b"")
        parts.append(struct.pack("<I", array.ndim))
        parts.append(struct.pack(f"<{array.ndim}{'q' if version else 'I'}", *array.shape))
        parts.append(struct.pack("<iii", 1, 0, {"float32": 0, "float64": 1, "float16": 2}[array.dtype.name]))
        parts.append(array.tobytes())
    parts.append(struct.pack("<Q", len(tensors)))
    for name in tensors:
        parts += [struct.pack("<Q", len(name)), name.encode()]
    return b"".join(parts)


def gluon_names(network, parameters, prefix="vgg0_"):
    """vgg0_conv0_weight, as `collect_params().save` writes, and dense layers."""
    number = {layer.name: n for n, layer in enumerate(network.convolutions)}
    found = {}
    for name, array in parameters.items():
        layer, kind = name.split(".")
        found[f"{prefix}conv{number[layer]}_{kind}"] = array
    return {**found, f"{prefix}dense0_weight": np.ones((4, 5), np.float32), f"{prefix}dense0_bias": np.ones(4, np.float32)}


def gluon_numbers(network, parameters):
    """gluon's VGG counts its dense layers on from the convolutions."""
    dense = len(network.layers)
    extra = {f"features.{dense}.weight": np.ones((4, 5), np.float32), f"features.{dense}.bias": np.ones(4, np.float32)}
    return {**numbered(network, parameters, classifier=False), **extra, "output.weight": np.ones((3, 4), np.float32)}


def timm_names(network, parameters):
    """timm's VGG has a classifier of convolutions."""
    extra = {"pre_logits.fc1.weight": np.ones((5, 4, 7, 7), np.float32), "head.fc.weight": np.ones((3, 5), np.float32)}
    return {**numbered(network, parameters, classifier=False), **extra}


def keras(parameters, *, layout="2016", classifier=True):
    """The three layouts: block1_conv1/block1_conv1_W_1:0; block1_conv1/block1_conv1/kernel:0; below model_weights."""
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        top = file.create_group("model_weights") if layout == "model" else file
        for name, array in parameters.items():
            layer, kind = name.split(".")
            block, convolution = layer.removeprefix("conv").split("_")
            own = f"block{block}_conv{convolution}"
            group = top.require_group(own)
            if layout == "2016":
                place = f"{own}_{'W' if kind == 'weight' else 'b'}_1:0"
            else:
                place = f"{own}/{'kernel' if kind == 'weight' else 'bias'}:0"
            group.create_dataset(place, data=array.transpose(2, 3, 1, 0) if array.ndim == 4 else array)
        top.create_group("block1_pool")
        if classifier:
            top.create_group("fc1").create_dataset("fc1_W_1:0" if layout == "2016" else "fc1/kernel:0", data=np.ones((6, 7)))
    return stream.getvalue()
