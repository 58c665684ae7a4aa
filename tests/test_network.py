"""The layer table, against indices that everybody knows."""

import pytest

from isostyle import InputError
from isostyle.network import COMPACT, VGG16, VGG19

#: features[i] of torchvision, gluon and paddle.vision, as the published sources use them.
KNOWN = {
    "conv1_1": 0,
    "relu1_2": 3,
    "conv2_1": 5,
    "conv2_2": 7,
    "relu2_2": 8,
    "conv3_1": 10,
    "relu3_4": 17,
    "conv4_1": 19,
    "conv4_2": 21,
    "conv4_4": 25,
    "relu4_4": 26,
    "conv5_1": 28,
    "relu5_4": 35,
    "pool5": 36,
}


@pytest.mark.parametrize(("tap", "index"), KNOWN.items())
@pytest.mark.parametrize("network", [VGG19, COMPACT], ids=lambda network: network.name)
def test_vgg19_indices(network, tap, index):
    assert network.layer(tap).index == index


@pytest.mark.parametrize("network", [VGG19, VGG16, COMPACT], ids=lambda network: network.name)
def test_every_layer_stands_at_its_index(network):
    assert [layer.index for layer in network.layers] == list(range(len(network.layers)))


def test_lengths_are_those_of_the_zoos():
    assert (len(VGG19.layers), len(VGG16.layers)) == (37, 31)


def parameter_count(network):
    return sum(layer.out_channels * (9 * layer.in_channels + 1) for layer in network.convolutions)


def test_parameter_counts():
    # 143.67 M and 138.36 M less the three dense layers, and the compact one.
    assert parameter_count(VGG19) == 20_024_384
    assert parameter_count(VGG16) == 14_714_688
    assert parameter_count(COMPACT) == 2_811_056


def test_the_cut_ends_with_the_deepest_tap():
    assert [layer.name for layer in VGG19.cut(["conv1_2", "conv1_1"])] == ["conv1_1", "relu1_1", "conv1_2"]


@pytest.mark.parametrize(("taps", "least"), [(["conv1_1"], 1), (["conv1_1", "conv4_4"], 8), (["conv5_1"], 16), (["pool5"], 32)])
def test_least_side_leaves_one_pixel_at_the_deepest_tap(taps, least):
    assert VGG19.least_side(taps) == least


def test_an_unknown_tap_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no layer 'conv4-4'; did you mean 'conv4_4'"):
        VGG19.layer("conv4-4")


def test_a_layer_that_vgg16_lacks_is_answered_with_the_network_that_has_it():
    with pytest.raises(InputError, match="'vgg16' has no layer 'conv4_4'; vgg16-padded is the same network with all layers"):
        VGG16.layer("conv4_4")
