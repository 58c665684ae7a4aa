"""The published recipes, as their code runs, and isostyle's own. Each cites its source; what is ours is in its ``notes``.

All published ones use ImageNet's VGG-19 (``--network vgg19``) and RGB in 0..1 less ImageNet's mean, over its std, but for
Gatys et al., whose network takes Caffe's BGR in 0..255.
"""

from __future__ import annotations

import dataclasses
import difflib

from isostyle.errors import InputError, shown
from isostyle.recipe import (
    AdamSettings,
    AsIs,
    Constant,
    ExactSize,
    LbfgsSettings,
    LongSide,
    Recipe,
    Reporting,
    ShortSide,
    Shown,
    Square,
    StepDecay,
    Taps,
)

#: Sums of weighted terms, as they are in the total.
WEIGHTED: Shown = (("content", 1.0), ("style", 1.0), ("tv", 1.0), ("total", 1.0))


def alike(*taps: str) -> Taps:
    """Taps of weight 1."""
    return tuple((tap, 1.0) for tap in taps)


D2L = Recipe(
    name="d2l",
    source="Zhang et al., Dive into Deep Learning, chapter 'Neural Style Transfer' (MXNet, PyTorch and Paddle tabs)",
    notes=(
        "Taps are before the ReLU, as the text means and as the MXNet and Paddle tabs run; d2l-torch-tab is the PyTorch tab.",
        "Style weight: the text says 1e3, but the code sums `10 * styles_l`, which repeats a list; 1e4 is what runs.",
        "Learning rate 0.3 as in the PyTorch and Paddle tabs; d2l-mxnet-tab has 0.9.",
        "Reported as the chapter does: the style loss without the tenfold.",
        "Ours, against the tabs: pictures are rounded to 8 bits, where the PyTorch tab truncates, and resized with "
        "antialiasing, where the MXNet tab has none; Adam is Kingma and Ba's, where MXNet's places epsilon elsewhere.",
    ),
    content_layers=alike("conv4_4"),
    style_layers=alike("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"),
    gram_divisor="chw",
    content_reduction="mean",
    style_reduction="mean",
    content_weight=1.0,
    style_weight=1e4,
    tv_weight=10.0,
    start="content",
    optimizer=AdamSettings(learning_rate=0.3),
    schedule=StepDecay(every=50, factor=0.8),
    steps=500,
    size=ExactSize(height=300, width=450),
    style_size="own",
    report=Reporting(first=10, every=10, values=(("content", 1.0), ("style", 0.1), ("tv", 1.0))),
)

D2L_TORCH_TAB = dataclasses.replace(
    D2L,
    name="d2l-torch-tab",
    source="Zhang et al., Dive into Deep Learning, chapter 'Neural Style Transfer', PyTorch tab, as run",
    notes=(
        "torchvision's ReLU works in place: what was tapped before it holds its output when the losses look, but for conv5_1, "
        "the last layer that is kept.",
        *D2L.notes[1:],
    ),
    content_layers=alike("relu4_4"),
    style_layers=alike("relu1_1", "relu2_1", "relu3_1", "relu4_1", "conv5_1"),
)

D2L_MXNET_TAB = dataclasses.replace(
    D2L,
    name="d2l-mxnet-tab",
    source="Zhang et al., Dive into Deep Learning, chapter 'Neural Style Transfer', MXNet tab: learning rate 0.9, else as d2l",
    notes=("Learning rate 0.9, where the other tabs have 0.3.", *(note for note in D2L.notes if "0.9" not in note)),
    optimizer=AdamSettings(learning_rate=0.9),
)

ISOSTYLE = dataclasses.replace(
    D2L,
    name="isostyle",
    source="isostyle's default: d2l's numbers, each image at its own aspect",
    notes=(
        "Ours: the longer side of each image becomes 450 pixels, where d2l squeezes both to 300x450.",
        "Ours: every reported term is its share of the total.",
        *(note for note in D2L.notes if not note.startswith("Reported")),
    ),
    size=LongSide(450),
    report=Reporting(first=10, every=10, values=WEIGHTED),
)

PAINTERLY = dataclasses.replace(
    ISOSTYLE,
    name="painterly",
    source="isostyle's own, for the compact network: brush strokes before likeness",
    notes=(
        "Ours: with d2l's equal tap weights, conv2_1 and conv3_1 have nearly all of the style loss, which fine grain alone can "
        "satisfy; here the taps have comparable shares, so that strokes, which conv4_1 and conv5_1 see, come through.",
        "Ours: a tenth of d2l's content weight, and twice its total variation weight.",
    ),
    style_layers=(("conv1_1", 3.0), ("conv2_1", 0.3), ("conv3_1", 1.0), ("conv4_1", 100.0), ("conv5_1", 1000.0)),
    content_weight=0.1,
    tv_weight=20.0,
)

ONE_PASS = dataclasses.replace(
    ISOSTYLE,
    name="one-pass",
    source="isostyle's own, for the compact network: what `isostyle train` minimizes",
    notes=(
        "Ours: a network does not begin with the photograph, as a picture does that is optimized, so likeness has to come from "
        "the content loss. That is taken where shapes still are: with d2l's conv4_4 alone, they never appear.",
        "Ours: every tap behind its ReLU, as Johnson et al. 2016 have it. Before it, means have most of the Gram matrices, and "
        "networks meet them with one small pattern that repeats everywhere.",
        "Ours: the style taps have comparable shares of the loss of a photograph; thrice d2l's total variation weight.",
    ),
    content_layers=(("relu2_2", 1.5), ("relu3_2", 2.0)),
    style_layers=(("relu1_1", 2.5), ("relu2_1", 0.8), ("relu3_1", 1.5), ("relu4_1", 20.0), ("relu5_1", 80.0)),
    tv_weight=30.0,
)

TUTORIAL = Recipe(
    name="tutorial",
    source="Jacq, 'Neural Transfer Using PyTorch', the PyTorch tutorial, with its Chinese translation",
    notes=(
        "Its `conv_1` to `conv_5` are the first five convolutions, conv1_1 to conv3_1, and not the paper's conv1_1 to conv5_1.",
        "The image stays in 0..1 and is normalized inside the network; it is clamped before every evaluation, which moves the "
        "point under the optimizer's feet: L-BFGS goes on from the clamped point and remembers the unclamped move.",
        "Its loop says `run[0] <= 300`, but looks only between blocks of 20 evaluations: 320 are made, if no block ends early.",
        "Both pictures must come out equally large: tutorial-square crops them.",
        "The source also publishes a start from white noise (normal, clamped before the first evaluation): init noise.",
    ),
    content_layers=alike("conv2_2"),
    style_layers=alike("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"),
    gram_divisor="chw",
    content_reduction="mean",
    style_reduction="mean",
    content_weight=1.0,
    style_weight=1e6,
    tv_weight=0.0,
    space="unit",
    clamped=True,
    start="content",
    optimizer=LbfgsSettings(),
    schedule=Constant(),
    steps=301,
    size=ShortSide(512, pixels_without_gpu=128),
    style_size="equal",
    report=Reporting(first=50, every=50, values=(("style", 1.0), ("content", 1.0))),
)

TUTORIAL_SQUARE = dataclasses.replace(
    TUTORIAL,
    name="tutorial-square",
    source="A Chinese retelling of the PyTorch tutorial that crops both pictures to the square in their middle",
    notes=(
        "Its text says conv4_2 for the content; its code taps conv2_2, as the tutorial does.",
        "512 pixels with or without a GPU: its 128 is dead code.",
        *(note for note in TUTORIAL.notes if "equally large" not in note),
    ),
    size=Square(512),
    style_size="own",
)

WEI = Recipe(
    name="wei",
    source="Wei, 'Pytorch: image style migration', as run",
    notes=(
        "torchvision's ReLU works in place, so every tap holds the output of the ReLU after it, the last one included; the "
        "Gram matrices that the source prints show it. wei-pre is the same as meant.",
        "A style term is the mean over C^2, divided by C H W of the map; its Gram matrices are divided by nothing.",
        "Its text says VGG16 and a picture every 1000 steps; its code has vgg19 and 100.",
        "Ours: pictures are rounded to 8 bits, where the source truncates.",
    ),
    content_layers=alike("relu4_2"),
    style_layers=(("relu1_1", 1.0), ("relu2_1", 0.75), ("relu3_1", 0.2), ("relu4_1", 0.2), ("relu5_1", 0.2)),
    gram_divisor="1",
    content_reduction="mean",
    style_reduction="mean/chw",
    content_weight=1.0,
    style_weight=1e6,
    tv_weight=0.0,
    start="content",
    optimizer=AdamSettings(learning_rate=3e-4),
    schedule=Constant(),
    steps=5000,
    size=ShortSide(400, at_most_long_side=True),
    style_size="content",
    report=Reporting(first=100, every=100, values=(("total", 1.0),)),
)

WEI_PRE = dataclasses.replace(
    WEI,
    name="wei-pre",
    source="Wei, 'Pytorch: image style migration', as meant: taps before the ReLU",
    notes=("The source runs with every tap after its ReLU: that is wei.", *WEI.notes[1:]),
    content_layers=alike("conv4_2"),
    style_layers=(("conv1_1", 1.0), ("conv2_1", 0.75), ("conv3_1", 0.2), ("conv4_1", 0.2), ("conv5_1", 0.2)),
)

LOOKCC = Recipe(
    name="lookcc",
    source="LOOKCC, 'image transfer pytorch' (2017), as run",
    notes=(
        "The source takes `.data` of both content features: the content loss is counted and moves nothing. lookcc-content is "
        "the same as meant.",
        "Its text says that it taps after pooling; its code taps ReLUs.",
        "Pictures as large as they are: Gram matrices, divided by nothing, grow with the pixels of either picture.",
        "The source also publishes starts from uniform noise in 0..1, in normalized space and of 300x300 pixels "
        "(init uniform-noise, here of the content image's size), and from the style image (init style, resized to the "
        "content image's size).",
        "Ours: the picture is denormalized with the exact constants, where the source draws it with rounded ones.",
    ),
    content_layers=alike("relu4_4"),
    style_layers=alike("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"),
    gram_divisor="1",
    content_reduction="mean",
    style_reduction="mean/chw",
    content_weight=1.0,
    style_weight=1000.0,
    tv_weight=0.0,
    without_gradient=("content",),
    start="content",
    optimizer=AdamSettings(learning_rate=0.05),
    schedule=Constant(),
    steps=1000,
    size=AsIs(),
    style_size="own",
    report=Reporting(first=1, every=10, values=(("total", 1.0),)),
)

LOOKCC_CONTENT = dataclasses.replace(
    LOOKCC,
    name="lookcc-content",
    source="LOOKCC, 'image transfer pytorch' (2017), as meant: the content loss has a gradient",
    notes=("The source's content loss moves nothing: that is lookcc.", *LOOKCC.notes[1:]),
    without_gradient=(),
)

GATYS2016 = Recipe(
    name="gatys2016",
    source="Gatys, Ecker and Bethge 2016, 'Image Style Transfer Using Convolutional Neural Networks', equations 1 to 7",
    notes=(
        "Taps after the ReLU, as in the authors' own code; the paper names the layers only.",
        "Average pooling, which the paper recommends for its pictures; gatys2016-max has VGG's own.",
        "Ours: content to style 1 : 1e3; the 2015 preprint has 1e-3 and 1e-4, the paper 1e-3, 8e-4, 5e-3 and 5e-4 by figure.",
        "Ours: the normalized image, unbounded, is optimized (the paper does not say), in RGB as the network takes it here.",
        "Ours: the noise at the start is normal with std 1, the same on every backend.",
        "Ours: L-BFGS as PyTorch's tutorial has it, 500 evaluations, reported every 50; the paper says L-BFGS only.",
        "Ours: the content image as large as it is; the style image is resized to it, as the paper says.",
    ),
    content_layers=alike("relu4_2"),
    style_layers=tuple((tap, 0.2) for tap in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")),
    pooling="average",
    gram_divisor="1",
    content_reduction="half-sum",
    style_reduction="quarter-sum",
    content_weight=1.0,
    style_weight=1e3,
    tv_weight=0.0,
    start="noise",
    optimizer=LbfgsSettings(),
    schedule=Constant(),
    steps=500,
    size=AsIs(),
    style_size="content",
    report=Reporting(first=50, every=50, values=(("style", 1.0), ("content", 1.0), ("total", 1.0))),
)

GATYS2016_MAX = dataclasses.replace(
    GATYS2016,
    name="gatys2016-max",
    source="Gatys, Ecker and Bethge 2016, 'Image Style Transfer Using Convolutional Neural Networks', with VGG's max pooling",
    notes=(
        "Max pooling, VGG's own; gatys2016 has the average pooling that the paper recommends.",
        *(note for note in GATYS2016.notes if not note.startswith("Average")),
    ),
    pooling="max",
)

#: The default comes first.
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        ISOSTYLE,
        PAINTERLY,
        ONE_PASS,
        D2L,
        D2L_TORCH_TAB,
        D2L_MXNET_TAB,
        TUTORIAL,
        TUTORIAL_SQUARE,
        WEI,
        WEI_PRE,
        LOOKCC,
        LOOKCC_CONTENT,
        GATYS2016,
        GATYS2016_MAX,
    )
}


def find(name: str) -> Recipe:
    """The published recipe called ``name``.

    Raises:
        InputError: there is none; the message suggests the nearest name.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name.lower(), RECIPES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(RECIPES)
        raise InputError(f"there is no recipe {shown(name)}; {hint}")
    return RECIPES[name]
