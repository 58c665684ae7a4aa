"""The published recipes, as their code runs, and isostyle's own. Each cites its source; what is ours is in its ``notes``.

All published ones use ImageNet's VGG-19 (``--network vgg19``) and RGB in 0..1 less ImageNet's mean, over its std, but for
Gatys et al., whose network takes Caffe's BGR in 0..255.
"""

from __future__ import annotations

import dataclasses
import difflib

from isostyle.errors import InputError, shown
from isostyle.network import VGG_WIDTHS
from isostyle.recipe import AdamSettings, Constant, LbfgsSettings, Level, Recipe, Reporting, Shown, StepDecay, Taps
from isostyle.sizes import AsIs, ExactSize, LongSide, ShortSide, Square

#: Sums of weighted terms, as they are in the total.
WEIGHTED: Shown = (("content", 1.0), ("style", 1.0), ("tv", 1.0), ("total", 1.0))
#: How many times larger Caffe's input is, colors in 0..255, than one that is divided by ImageNet's std (0.226, over the three
#: channels). All maps of Gatys' network are larger by this; its content losses by the second power, its style losses by the
#: fourth. Networks here take the smaller input, so weights make up for it.
CAFFE_SCALE = 255 * 0.226


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

ISOSTYLE = Recipe(
    name="isostyle",
    source="isostyle's own, chosen with the compact network by `isostyle compare` and by eye",
    notes=(
        "Ours: losses relative to their targets, so that one set of weights serves every painting and every network.",
        "Ours: every tap behind its ReLU. Before it, conv2_1 alone has most of the style loss, and the optimizer pays it with "
        "frames and lattices in flat areas.",
        "Ours: average pooling, as Gatys et al. recommend: clearer strokes and less colored grain than with VGG's own.",
        "Ours: first at half of the size, where one step moves strokes that are twice as long.",
        "Ours: a mirrored margin around both pictures, cut off in the end, for at its border a network paints a frame.",
        "Ours: some noise at the start. In a flat area all pixels have one gradient; strokes begin at its border, as frames.",
    ),
    content_layers=alike("relu4_2"),
    style_layers=alike("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    pooling="average",
    gram_divisor="hw",
    content_reduction="relative",
    style_reduction="relative",
    content_weight=0.2,
    style_weight=1.0,
    tv_weight=0.25,
    start="content+noise",
    optimizer=AdamSettings(learning_rate=0.2),
    schedule=StepDecay(every=15, factor=0.5),
    pyramid=(Level(0.5, 60),),
    steps=30,
    size=LongSide(512),
    style_size="own",
    report=Reporting(first=10, every=10, values=WEIGHTED),
    margin=16,
)

PAINTERLY = dataclasses.replace(
    ISOSTYLE,
    name="painterly",
    source="isostyle's own: brush strokes before likeness",
    notes=("Ours: a quarter of isostyle's content weight.", *ISOSTYLE.notes),
    content_weight=0.05,
)

ONE_PASS = dataclasses.replace(
    ISOSTYLE,
    name="one-pass",
    source="isostyle's own: what `isostyle train` minimizes",
    notes=(
        "Ours: style losses relative to their targets, and alike: one set of weights serves every painting of a network.",
        "Ours: a content loss that is not relative. A crop of plain sky has few features, and would outweigh all others.",
        "Ours: every tap behind its ReLU.",
    ),
    pooling="max",
    content_reduction="mean",
    content_weight=1.0,
    style_weight=2.0,
    tv_weight=0.05,
    margin=0,
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
        "Ours: content to style 1 : 3e4. The 2015 preprint has 1 : 1e3 and 1e4, the paper 1 : 200 to 2000 by figure; by these "
        "equations, 1 : 1e3 leaves the painting's strokes out. All are of Caffe's input, 57.6 times as large as here: "
        "effectively the style weighs 57.6^2 times as much.",
        "Ours: the normalized image, unbounded, is optimized (the paper does not say), in RGB as the network takes it here.",
        "Ours: the noise at the start is normal with std 0.1, the same on every backend; of std 1, grain stays.",
        "Ours: L-BFGS with a line search, without which it can explode from noise; 1000 evaluations, reported every 50. The "
        "paper says L-BFGS only.",
        "Ours: the content image as large as it is; the style image is resized to it, as the paper says.",
    ),
    content_layers=alike("relu4_2"),
    style_layers=tuple((tap, 0.2) for tap in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")),
    pooling="average",
    gram_divisor="1",
    content_reduction="half-sum",
    style_reduction="quarter-sum",
    content_weight=1.0,
    style_weight=3e4 * CAFFE_SCALE**2,
    tv_weight=0.0,
    start="noise",
    optimizer=LbfgsSettings(line_search="strong-wolfe"),
    schedule=Constant(),
    steps=1000,
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

GATYS_NOTEBOOK = Recipe(
    name="gatys-notebook",
    source="Gatys, PytorchNeuralStyleTransfer, the authors' own notebook, its first resolution",
    notes=(
        "Style weights are 1e3 / C^2 of Caffe's input, 57.6 times as large as here: effectively 57.6^2 times as much.",
        "Its loop looks at 500 between blocks of 20 evaluations only: 520 are made, if no block ends early.",
        "The notebook goes on at 800 pixels from this picture, enlarged.",
    ),
    content_layers=alike("relu4_2"),
    style_layers=tuple((f"relu{block}_1", 1e3 / channels**2) for block, channels in enumerate(VGG_WIDTHS, start=1)),
    gram_divisor="hw",
    content_reduction="mean",
    style_reduction="mean",
    content_weight=1.0,
    style_weight=CAFFE_SCALE**2,
    tv_weight=0.0,
    start="content",
    optimizer=LbfgsSettings(),
    schedule=Constant(),
    steps=501,
    size=ShortSide(512),
    style_size="own",
    report=Reporting(first=50, every=50, values=(("total", 1.0),)),
)

#: Weights of the style layers, block by block, before they are brought to a sum of 1.
CROWSONKB_STYLE = (256, 64, 16, 4, 1)

CROWSONKB = Recipe(
    name="crowsonkb",
    source="Crowson, style-transfer-pytorch, at e7e2c71 (MIT): github.com/crowsonkb/style-transfer-pytorch",
    notes=(
        "Style: the Wasserstein distance of Gaussians. The source approximates its roots by 12 Newton-Schulz iterations; here "
        "they are exact.",
        "The picture is the average of a level's images, the first included; losses are reported of the last.",
        "Max pooling, the source's default. Its average pooling is doubled, as `average-doubled` is here.",
        "Levels are shares of the size: 128, 181, 256, 362 of 512. For another size the source keeps 128 as the first and adds "
        "or leaves out levels, and a side may differ by a pixel.",
        "Ours: pictures and levels are resized with a triangle, antialiased, where the source has Pillow's bicubic, and "
        "torch's between levels, for Adam's first moment, too; and a painting that is smaller than the size is enlarged.",
    ),
    content_layers=alike("relu4_2"),
    style_layers=tuple((f"relu{block}_1", w / sum(CROWSONKB_STYLE)) for block, w in enumerate(CROWSONKB_STYLE, start=1)),
    gram_divisor="hw",
    content_reduction="mean",
    style_reduction="wasserstein",
    content_weight=0.015,
    style_weight=1.0,
    tv_weight=2.0,
    space="unit",
    clamped=True,
    start="content",
    optimizer=AdamSettings(learning_rate=0.02, beta2=0.99),
    schedule=Constant(),
    pyramid=(Level(128 / 512, 1000), *(Level(side / 512, 500) for side in (181, 256, 362))),
    steps=500,
    size=LongSide(512),
    style_size="own",
    report=Reporting(first=50, every=50, values=WEIGHTED),
    first_padding="replicate",
    variation="squared",
    average_decay=0.99,
    carries_moments=True,
)

#: How many times larger than here the input of neural-style is: Caffe's colors, times 256.
NEURAL_STYLE_SCALE = 256 * 0.226

NEURAL_STYLE = Recipe(
    name="neural-style",
    source="Johnson, neural-style (MIT): github.com/jcjohnson/neural-style, neural_style.lua with its defaults",
    notes=(
        "Weights are of an input 57.9 times as large as here: effectively the style weighs 57.9^2 times as much.",
        "The source prints losses without total variation, of which it has the gradient only; here it is counted.",
        "Its L-BFGS ends for no tolerance. Its first move is as long as one of Caffe's colors, here as one std.",
        "Ours: the noise at the start has std 0.1; the source's, 0.001 of Caffe's colors, is all but flat.",
        "Ours: one scale for the three channels, whose stds differ by 2 %; bilinear resizing is antialiased.",
    ),
    content_layers=alike("relu4_2"),
    style_layers=alike("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    gram_divisor="chw",
    content_reduction="mean",
    style_reduction="mean",
    content_weight=5.0,
    style_weight=100 * NEURAL_STYLE_SCALE**2,
    tv_weight=1e-3,
    start="noise",
    optimizer=LbfgsSettings(tolerance_gradient=0.0, tolerance_change=0.0),
    schedule=Constant(),
    steps=1000,
    size=LongSide(512),
    style_size="own",
    report=Reporting(first=50, every=50, values=(("content", 1.0), ("style", 1.0), ("total", 1.0))),
    variation="half-sum",
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
        GATYS_NOTEBOOK,
        CROWSONKB,
        NEURAL_STYLE,
    )
}

#: What published recipes do with the compact network where it is not what their sources show (docs/gallery.md).
ON_COMPACT = {
    "d2l-torch-tab": "leaves colored grain",
    "d2l-mxnet-tab": "ends in noise, by its learning rate of 0.9",
    "tutorial": "can explode",
    "tutorial-square": "can explode",
    "gatys2016": "keeps little of the photograph",
    "gatys2016-max": "keeps little of the photograph",
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
