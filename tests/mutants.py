"""Mutants: mistakes that porters really make, each one line, and the cases that must catch it.

A mutant is a copy of the real sources with one edit: in a file of a backend (the same mistake in each framework's words), or in
core. test_mutants.py makes and runs them all, and demands that the named points fail; scripts/mutation.py makes the tables of
docs/mutation-testing.md. An edit whose text is not found exactly once is an error.

``caught_by`` are patterns ``CASE:POINT``. ``{recipe}`` stands for each registered recipe, and all of them have to notice.
"""

# A table is read across: the formatter would put each word on a line of its own.
# fmt: off

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from isostyle.published import RECIPES

FRAMEWORKS, ONNX = ("torch", "mxnet", "paddle"), "onnx"
#: What onnxruntime runs.
GRAPH = "core/transform_graph.py"
#: The text as it is, and as the mutant has it.
Edit = tuple[str, str]


@dataclass(frozen=True)
class Mutant:
    name: str
    #: By file, relative to the repository: at most one of each backend, or one of core.
    edits: Mapping[str, Edit]
    caught_by: Sequence[str]
    #: Recipes that {recipe} stands for; empty: all.
    recipes: Sequence[str] = ()

    @property
    def in_core(self) -> bool:
        """Whether the edit is in core: then one backend is enough, and the oracle runs with it, too."""
        return any(file.startswith("core/") for file in self.edits)

    @property
    def in_total(self) -> bool:
        """Whether d2l's total, as a backend reports it, passes through the edit.

        It does not pass through pictures (scenes are tensors), the zoo, the formulas that the oracle executes, or what only
        other recipes do.
        """
        return "core/losses.py" not in self.edits and not all(map(elsewhere, self.caught_by))

    def edit(self, backend: str) -> tuple[str, str, str] | None:
        """(file, old, new) for a run with ``backend``; None if the mistake cannot be made in it."""
        for file in self.edits:
            if file.startswith((f"backends/{backend}/", "core/")):
                return (file, *self.edits[file])
        return None

    def among(self, backends: Sequence[str]) -> Sequence[str]:
        """Those of ``backends`` that run it: one is enough for an edit in core, and of ONNX graphs there is but one."""
        if GRAPH in self.edits:
            return [ONNX]
        return backends[:1] if self.in_core else [backend for backend in backends if self.edit(backend)]


def elsewhere(pattern: str) -> bool:
    """Whether a case has nothing to do with d2l's total."""
    case = pattern.partition(":")[0]
    kind, _, recipe = case.partition("/")
    pictures = kind in ("normalize", "denormalize", "round-trip", "resize", "crop", "noise")
    if kind in STYLE_NETWORKS:
        return True
    return pictures or kind == "zoo" or "/tile-" in case or recipe.partition("/")[0] in OTHER_RECIPES


def applications(backends: Sequence[str]) -> Iterator[tuple[Mutant, str]]:
    """(mutant, backend) for each run."""
    for mutant in MUTANTS:
        for backend in mutant.among(backends):
            yield mutant, backend


MUTANTS: list[Mutant] = []
#: Files of core, below its folder and without ``.py``, that many mutants are in.
ARRAYS, DESCENT, TRAINER, STYLE_TILES = "images/arrays", "transfer/descent", "style_networks/trainer", "style_networks/tiles"
#: Kinds of cases that are about style networks.
STYLE_NETWORKS = ("stages", "mixture", "transform", "vjp", "training-gradient", "training")
#: By what a mistake needs: recipes whose Gram matrices are divided by C H W, by nothing; with means, with Gatys' sums.
CHW = ("d2l", "d2l-torch-tab", "tutorial")
MEANS = (*CHW, "wei", "wei-pre", "lookcc", "lookcc-content")
PLAIN_MEANS, MEANS_OVER_CHW, SUMS = CHW, ("wei", "wei-pre", "lookcc", "lookcc-content"), ("gatys2016", "gatys2016-max")
MAX_POOLING = (*MEANS, "gatys2016-max")
#: Absolute total variation; and Gram matrices.
WITH_TV = ("isostyle", "one-pass", "d2l", "d2l-torch-tab")
WITH_GRAMS = tuple(name for name in RECIPES if name != "crowsonkb")
#: With a learning rate that decays, all of d2l's; and with Adam.
OF_D2L = ("d2l", "d2l-torch-tab", "d2l-mxnet-tab")
OF_ADAM = (*OF_D2L, "wei", "wei-pre", "lookcc", "lookcc-content")
#: Recipes whose taps are not all behind a ReLU.
BEFORE_RELU = ("d2l", "d2l-torch-tab", "tutorial", "wei-pre")
#: Recipes that have nothing of d2l's total in them, and those of the cases.
OTHER_RECIPES = (
    "isostyle", "painterly", "one-pass", "unit-pyramid", "tutorial", *MEANS_OVER_CHW, *SUMS, "gatys-notebook",
    "d2l-lbfgs", "d2l-lbfgs-faint", "d2l-wolfe", "d2l-wolfe-blocks", "d2l-wolfe-pyramid", "tutorial-wolfe",
    "first-layer-hw", "crowsonkb", "shallow-gaussian", "neural-style", "shallow-half",
    "post-relu", "shallow-relative",
)


def in_backends(
    name: str,
    *caught_by: str,
    torch: Edit | None = None,
    mxnet: Edit | None = None,
    paddle: Edit | None = None,
    all: Edit | None = None,
    recipes: Sequence[str] = (),
    file: str = "engine",
) -> None:
    """A mistake in ``file`` of each backend that has an edit; ``all`` if its words are the same in the three."""
    texts = dict(zip(FRAMEWORKS, (torch or all, mxnet or all, paddle or all), strict=True))
    edits = {f"backends/{backend}/{file}.py": edit for backend, edit in texts.items() if edit}
    MUTANTS.append(Mutant(name, edits, caught_by, recipes))


def in_core(name: str, file: str, old: str, new: str, *caught_by: str, recipes: Sequence[str] = ()) -> None:
    MUTANTS.append(Mutant(name, {f"core/{file}.py": (old, new)}, caught_by, recipes))


in_losses = partial(in_backends, file="losses")
in_transforms = partial(in_backends, file="transform")


# The image, and the tensors

IMAGE = "        x = image\n"


def enters(text: str) -> Edit:
    return IMAGE, f"        x = {text}\n"


in_backends(
    "BGR instead of RGB", "features/photo:conv1_1",
    torch=enters("image.flip(1)"), mxnet=enters("np.flip(image, 1)"), paddle=enters("image.flip([1])"),
)
in_backends(
    "image height and width transposed", "features/photo:conv1_1",
    torch=enters("image.transpose(2, 3)"), mxnet=enters("image.transpose(0, 1, 3, 2)"),
    paddle=enters("image.transpose([0, 1, 3, 2])"),
)
in_backends(
    "image scaled to 0..255", "features/photo:conv1_1", "gradient/{recipe}/photo:total",
    all=enters("image * 255"),
)
in_backends(
    "the image passes through float32", "run/{recipe}/photo:image",
    torch=enters("image.float().to(image.dtype)"), mxnet=enters('image.astype("float32").astype(image.dtype)'),
    paddle=enters('image.astype("float32").astype(image.dtype)'),
)
in_backends(
    "float32 where float64 is asked for", "features/photo:*", "tensor:plain", "gradient/{recipe}/photo:total",
    torch=('"float64": torch.float64', '"float64": torch.float32'),
    mxnet=("self.dtype = dtype", 'self.dtype = "float32"'), paddle=("self.dtype = dtype", 'self.dtype = "float32"'),
)
in_backends(
    "a tensor shares its array's memory", "tensor:after its array was overwritten",
    torch=("torch.tensor(np.ascontiguousarray(array), ", "torch.as_tensor(np.ascontiguousarray(array), "),
)
in_backends(
    "an array shares its tensor's memory", "tensor:after its copy was overwritten",
    torch=("np.array(tensor.detach().cpu().numpy(), copy=True)", "tensor.detach().cpu().numpy()"),
)
in_backends(
    "a mirrored picture keeps its strides", "tensor",
    torch=("torch.tensor(np.ascontiguousarray(array), dtype", "torch.as_tensor(array, dtype"),
)

# The network

RELU = {"torch": "x = F.relu(x)", "mxnet": "x = npx.relu(x)", "paddle": "x = F.relu(x)"}


def activates(torch: str, mxnet: str, paddle: str) -> dict[str, Edit]:
    texts = zip(FRAMEWORKS, (torch, mxnet, paddle), strict=True)
    return {backend: (RELU[backend], text) for backend, text in texts}


def tapped(text: str) -> Edit:
    return "                found[layer.name] = x\n", f"                found[layer.name] = {text}\n"


def convolves(text: str) -> dict[str, Edit]:
    """torch's and Paddle's words for a convolution are the same."""
    edit = "F.conv2d(x, weight, bias, padding=border)", f"F.conv2d({text})"
    return {"torch": edit, "paddle": edit}


MX_CONVOLUTION = "npx.convolution(x, weight, bias, kernel=kernel, pad=pad, "
POOLING = {
    "torch": "F.max_pool2d(x, POOL) if", "paddle": "F.max_pool2d(x, POOL, POOL) if",
    "mxnet": "npx.pooling(x, kernel=(POOL, POOL), stride=(POOL, POOL), pool_type=kind)",
}


def pools(torch: str, mxnet: str, paddle: str) -> dict[str, Edit]:
    texts = zip(FRAMEWORKS, (f"{torch} if", mxnet, f"{paddle} if"), strict=True)
    return {backend: (POOLING[backend], text) for backend, text in texts}


in_backends("weights in half precision", "features/photo:conv1_1", "gradient/{recipe}/photo:total",
            all=("self.tensor(array) for name, array in", 'self.tensor(array.astype("float16")) for name, array in'))
in_backends("in-place ReLU", "features/photo:conv1_1", **activates("x = F.relu_(x)", "x[:] = npx.relu(x)", "x = F.relu_(x)"))
in_backends(
    "every tap after a ReLU", "features/photo:conv1_1", "terms/{recipe}/photo:style/*", "targets/{recipe}/photo:style/*",
    recipes=BEFORE_RELU,
    torch=tapped("F.relu(x)"), mxnet=tapped("npx.relu(x)"), paddle=tapped("F.relu(x)"),
)
in_backends("absolute value for ReLU", "features/photo:relu1_1", **activates("x = x.abs()", "x = np.abs(x)", "x = x.abs()"))
in_backends(
    "leaky ReLU", "features/photo:relu1_1", "gradient/{recipe}/photo:total",
    **activates("x = F.leaky_relu(x)", "x = np.maximum(x, 0.01 * x)", "x = F.leaky_relu(x)"),
)
in_backends(
    "activations in half precision", "features/photo:relu1_1", "terms/{recipe}/photo:style/*",
    **activates(
        "x = F.relu(x).half().to(x.dtype)", 'x = npx.relu(x).astype("float16").astype(x.dtype)',
        'x = F.relu(x).astype("float16").astype(x.dtype)',
    ),
)
in_backends(
    "average pooling", "features/photo:pool1", "gradient/{recipe}/photo:content", recipes=MAX_POOLING,
    **pools(
        "F.avg_pool2d(x, POOL)", 'npx.pooling(x, kernel=(POOL, POOL), stride=(POOL, POOL), pool_type="avg")',
        "F.avg_pool2d(x, POOL, POOL)",
    ),
)
in_backends(
    "ceil-mode pooling", "features/odd:pool1", "terms/{recipe}/odd:style/*", recipes=MAX_POOLING,
    **pools(
        "F.max_pool2d(x, POOL, ceil_mode=True)",
        'npx.pooling(x, kernel=(POOL, POOL), stride=(POOL, POOL), pool_type="max", pooling_convention="full")',
        "F.max_pool2d(x, POOL, POOL, ceil_mode=True)",
    ),
)
in_backends(
    "pooling of 3x3 windows", "features/photo:pool1",
    **pools(
        "F.max_pool2d(x, 3, POOL, padding=1)",
        'npx.pooling(x, kernel=(3, 3), stride=(POOL, POOL), pad=(1, 1), pool_type="max")',
        "F.max_pool2d(x, 3, POOL, padding=1)",
    ),
)
in_backends(
    "pooling moves by one pixel", "features/photo:pool1",
    **pools(
        "F.max_pool2d(x, POOL, 1)", 'npx.pooling(x, kernel=(POOL, POOL), stride=(1, 1), pool_type="max")',
        "F.max_pool2d(x, POOL, 1)",
    ),
)
in_backends(
    "border repeated instead of zeros", "features/photo:conv1_1", "gradient/{recipe}/photo:total",
    torch=convolves('F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias')["torch"],
    paddle=convolves('F.pad(x, [1, 1, 1, 1], mode="replicate"), weight, bias')["paddle"],
    mxnet=(
        MX_CONVOLUTION,
        'npx.convolution(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge"), weight, bias, kernel=kernel, pad=(0, 0), ',
    ),
)
in_backends(
    "padding of two pixels", "features/photo:conv1_1",
    **convolves("x, weight, bias, padding=2"), mxnet=("pad=pad, ", "pad=(2, 2), "),
)
in_backends(
    "bias dropped", "features/photo:conv1_1", "gradient/{recipe}/photo:total",
    **convolves("x, weight, padding=border"), mxnet=(MX_CONVOLUTION, MX_CONVOLUTION.replace("bias", "bias * 0")),
)
in_backends(
    "kernels turned by 180 degrees", "features/photo:conv1_1",
    torch=convolves("x, weight.flip(2, 3), bias, padding=border")["torch"],
    paddle=convolves("x, weight.flip([2, 3]), bias, padding=border")["paddle"],
    mxnet=(MX_CONVOLUTION, MX_CONVOLUTION.replace("weight", "np.flip(weight, (2, 3))")),
)
in_backends(
    "kernels transposed, as (width, height)", "features/photo:conv1_1",
    torch=convolves("x, weight.transpose(2, 3), bias, padding=border")["torch"],
    paddle=convolves("x, weight.transpose([0, 1, 3, 2]), bias, padding=border")["paddle"],
    mxnet=(MX_CONVOLUTION, MX_CONVOLUTION.replace("weight", "weight.transpose(0, 1, 3, 2)")),
)

in_backends("activations cut off at 100", "features/loud:relu1_1",
            **activates("x = F.relu(x).clip(max=100)", "x = np.minimum(npx.relu(x), 100)", "x = F.relu(x).clip(max=100)"))
in_backends("upright pictures are taken for wide ones", "features/loud:conv1_1",
            all=(IMAGE, "        x = image if image.shape[2] <= image.shape[3] else image * 1.01\n"))


def kept(engine: str) -> Edit:
    made = f"{engine}(network, parameters, device, dtype)"
    return made, f"self.__dict__.setdefault((network, dtype), {made})"


in_backends("an engine is kept for its network's name, whatever its weights", "features/photo@negated",
            torch=kept("TorchEngine"), mxnet=kept("MxnetEngine"), paddle=kept("PaddleEngine"),
            file="__init__")
in_backends("no gradient from behind conv5_1", "gradient/post-relu/photo:style",
            all=("            if layer.kind == \"conv\":",
                 "            x = x.detach() if layer.index > 28 else x\n            if layer.kind == \"conv\":"))
in_backends(
    "half a gradient where a deep ReLU's input is 0", "gradient/exact/*:*",
    torch=("x = F.relu(x)", "x = torch.maximum(x, torch.zeros_like(x)) if layer.halvings else F.relu(x)"),
)

# Gram matrices

DIVIDED = '"chw": channels * height * width'
in_losses("Gram matrix over HW", "gram/chw:*", "targets/{recipe}/photo:style/*",
            all=(DIVIDED, '"chw": height * width'), recipes=CHW)
in_losses("Gram matrix over C", "gram/chw:*", "targets/{recipe}/photo:style/*", all=(DIVIDED, '"chw": channels'), recipes=CHW)
in_losses("Gram matrix over CHW where HW is asked for", "gram/hw:*",
            all=('"hw": height * width', '"hw": channels * height * width'))
in_losses("Gram matrix over HW in 16 bits", "terms/first-layer-hw/large:style/*",
            all=('"hw": height * width', '"hw": (height * width) & 0xFFFF'))
in_losses("Gram matrix over N where nothing is asked for", "gram/1:*", all=('"1": 1}', '"1": height * width}'))
in_losses(
    "Gram matrix of centered features", "gram/chw:*", "terms/{recipe}/photo:style/*", recipes=WITH_GRAMS,
    torch=("feature.reshape(channels, height * width)", "(feature - feature.mean()).reshape(channels, height * width)"),
    mxnet=("feature.reshape(channels, height * width)", "(feature - feature.mean()).reshape(channels, height * width)"),
    paddle=("feature.reshape([channels, height * width])", "(feature - feature.mean()).reshape([channels, height * width])"),
)
in_losses(
    "a map flattened as if channels came last", "gram/chw:*",
    torch=("feature.reshape(channels, height * width)", "feature.reshape(height * width, channels).T"),
    mxnet=("feature.reshape(channels, height * width)", "feature.reshape(height * width, channels).T"),
    paddle=("feature.reshape([channels, height * width])", "feature.reshape([height * width, channels]).T"),
)
in_losses(
    "Gram matrix in float32", "gram/chw:*",
    torch=("return matrix @ matrix.T /", "return (matrix.float() @ matrix.float().T).to(matrix.dtype) /"),
    mxnet=("return np.dot(matrix, matrix.T) /",
           'return np.dot(matrix.astype("float32"), matrix.astype("float32").T).astype(matrix.dtype) /'),
    paddle=("return paddle.matmul(matrix, matrix.T) /",
            'return paddle.matmul(matrix.astype("float32"), matrix.astype("float32").T).astype(matrix.dtype) /'),
)

# Losses

#: The lines that turn squared differences into a number, for means (of content and style) and for Gatys' sums.
SQUARES = {
    "torch": "squares = torch.square(feature - target)", "mxnet": "squares = np.square(feature - target)",
    "paddle": "squares = paddle.square(feature - target)",
}
CONTENT = {
    "torch": 'squares.mean() if reduction == "mean" else 0.5 * squares.sum()',
    "mxnet": 'squares.mean() if reduction == "mean" else 0.5 * squares.sum()',
    "paddle": 'mean(squares) if reduction == "mean" else 0.5 * squares.sum()',
}
STYLE = {
    "torch": 'squares.mean() if reduction == "mean" else squares.mean() / (channels * height * width)',
    "mxnet": 'squares.mean() if reduction == "mean" else squares.mean() / (channels * height * width)',
    "paddle": 'mean(squares) if reduction == "mean" else mean(squares) / (channels * height * width)',
}
QUARTER = "return squares.sum() / float(4 * channels**2 * (height * width) ** 2)"
VARIATION = {
    "torch": "0.5 * (torch.abs(down).mean() + torch.abs(right).mean())",
    "mxnet": "0.5 * (np.abs(down).mean() + np.abs(right).mean())",
    "paddle": "0.5 * (mean(paddle.abs(down)) + mean(paddle.abs(right)))",
}


def becomes(texts: Mapping[str, str], torch: str, mxnet: str, paddle: str) -> dict[str, Edit]:
    return {backend: (texts[backend], text) for backend, text in zip(FRAMEWORKS, (torch, mxnet, paddle), strict=True)}


in_losses(
    "content loss summed", "terms/{recipe}/photo:content/*", "gradient/{recipe}/photo:content", recipes=MEANS,
    **{backend: (text, "squares.sum()") for backend, text in CONTENT.items()},
)
in_losses(
    "content loss halved", "terms/{recipe}/photo:content/*", "gradient/{recipe}/photo:content", recipes=(*MEANS, *SUMS),
    **{backend: (text, f"0.5 * ({text})") for backend, text in CONTENT.items()},
)
in_losses(
    "content loss of absolute differences", "terms/{recipe}/photo:content/*",
    **{backend: (text, text.replace("square", "abs")) for backend, text in SQUARES.items()},
)
in_losses(
    "style loss summed", "terms/{recipe}/photo:style/*", "gradient/{recipe}/photo:style", recipes=PLAIN_MEANS,
    **{backend: (text, text.replace("squares.mean() if", "squares.sum() if").replace("mean(squares) if", "squares.sum() if"))
       for backend, text in STYLE.items()},
)
in_losses(
    "style loss divided by four", "terms/{recipe}/photo:style/*", "gradient/{recipe}/photo:style", recipes=MEANS,
    **{backend: (text, f"0.25 * ({text})") for backend, text in STYLE.items()},
)
in_losses(
    "wei's style loss without its C H W", "terms/{recipe}/photo:style/*", "gradient/{recipe}/photo:style",
    recipes=MEANS_OVER_CHW,
    **{backend: (text, text.replace(" / (channels * height * width)", "")) for backend, text in STYLE.items()},
)
in_losses("Gatys' content loss without its half", "terms/{recipe}/photo:content/*", "gradient/{recipe}/photo:content",
            recipes=SUMS, all=("else 0.5 * squares.sum()", "else squares.sum()"))
in_losses("Gatys' style loss without its quarter", "terms/{recipe}/photo:style/*", "gradient/{recipe}/photo:style",
            recipes=SUMS, all=(QUARTER, QUARTER.replace("4 * ", "")))
in_losses("Gatys' style loss over H W instead of its square", "terms/{recipe}/photo:style/*", recipes=SUMS,
            all=(QUARTER, QUARTER.replace(" ** 2)", ")")))
in_losses(
    "a relative loss is divided by the sum of the target, not of its squares",
    "terms/shallow-relative/photo:content/relu3_2", "terms/shallow-relative/photo:style/*",
    "gradient/shallow-relative/photo:total",
    torch=("torch.square(target)", "torch.abs(target)"), mxnet=("np.square(target)", "np.abs(target)"),
    paddle=("paddle.square(target)", "paddle.abs(target)"),
)
in_core(
    "a tile's relative loss is divided by the map's own size", "tiles", "style_scale(of_map, target, recipe.style_reduction)",
    "style_scale(of_map, products.sums[tap] / divisor, recipe.style_reduction)", "terms/shallow-relative/odd/tile-16:style/*",
)
in_losses(
    "total variation lacks its half", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv", recipes=WITH_TV,
    **{backend: (text, text.removeprefix("0.5 * ")) for backend, text in VARIATION.items()},
)
in_losses(
    "total variation squared", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv", recipes=WITH_TV,
    **{backend: (text, text.replace(".abs(", ".square(")) for backend, text in VARIATION.items()},
)
in_losses(
    "total variation summed", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv", recipes=WITH_TV,
    **becomes(VARIATION, "0.5 * (torch.abs(down).sum() + torch.abs(right).sum())",
              "0.5 * (np.abs(down).sum() + np.abs(right).sum())", "0.5 * (paddle.abs(down).sum() + paddle.abs(right).sum())"),
)
RIGHT = "right = image[:, :, :, 1:] - image[:, :, :, :-1]"
DOWN = "down = image[:, :, 1:, :] - image[:, :, :-1, :]"
in_losses("total variation lacks an axis", "terms/{recipe}/photo:tv", recipes=WITH_TV, all=(RIGHT, "right = down"))
in_losses("total variation of every second pixel", "terms/{recipe}/photo:tv",
            recipes=WITH_TV, all=(RIGHT, "right = image[:, :, :, 2:] - image[:, :, :, :-2]"))
in_losses("total variation lacks the last row", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv",
            recipes=WITH_TV, all=(DOWN, "down = image[:, :, 1:-1, :] - image[:, :, :-2, :]"))
in_losses("total variation of the first two channels", "terms/{recipe}/photo:tv",
            recipes=WITH_TV, all=(DOWN, "down = image[:, :2, 1:, :] - image[:, :2, :-1, :]"))
in_losses(
    "total variation as one mean over both axes", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv", recipes=WITH_TV,
    **becomes(VARIATION, "torch.abs(torch.cat([down.flatten(), right.flatten()])).mean()",
              "np.abs(np.concatenate([down.reshape(-1), right.reshape(-1)])).mean()",
              "mean(paddle.abs(paddle.concat([down.flatten(), right.flatten()])))"),
)
in_losses(
    "total variation smoothed at its kinks", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv", recipes=WITH_TV,
    **becomes(VARIATION, "0.5 * (torch.sqrt(down**2 + 1e-6).mean() + torch.sqrt(right**2 + 1e-6).mean())",
              "0.5 * (np.sqrt(down**2 + 1e-6).mean() + np.sqrt(right**2 + 1e-6).mean())",
              "0.5 * (mean(paddle.sqrt(down**2 + 1e-6)) + mean(paddle.sqrt(right**2 + 1e-6)))"),
)
in_losses("Paddle's own mean()", "terms/first-layer-chw/large:tv",
            paddle=("return x.sum() / x.size", "return x.mean()"))

# What is added up, and what has a gradient

in_backends("the tenfold lost", "terms/{recipe}/photo:style/*", "gradient/{recipe}/photo:style",
            all=("recipe.style_weight * weight * loss", "recipe.style_weight / 10 * weight * loss"))
in_backends("the tenfold doubled", "terms/{recipe}/photo:style/*",
            all=("recipe.style_weight * weight * loss", "recipe.style_weight * 10 * weight * loss"))
in_backends("weights of style taps ignored", "terms/{recipe}/photo:style/*", recipes=("wei",),
            all=("recipe.style_weight * weight * loss", "recipe.style_weight * loss"))
in_backends("weights of content taps ignored", "terms/post-relu/photo:content/*",
            all=("recipe.content_weight * weight * loss", "recipe.content_weight * loss"))
in_backends("terms of weight 0 left out", "terms/post-relu/photo:tv",
            all=('terms["tv"] = recipe.tv_weight * tv_loss(self.maybe_detach("tv", image), recipe.variation)',
                 'terms.update({"tv": recipe.tv_weight * tv_loss(image)} if recipe.tv_weight else {})'))
in_backends("total variation has the content weight", "terms/{recipe}/photo:tv",
            all=("recipe.tv_weight * tv_loss(", "recipe.content_weight * tv_loss("))
in_backends("total lacks total variation", "terms/{recipe}/photo:total", "gradient/{recipe}/photo:total", recipes=WITH_TV,
            all=("list(terms.values())).sum()", "list(terms.values())[:-1]).sum()"))
in_backends("total is a mean of terms", "terms/{recipe}/photo:total", "gradient/{recipe}/photo:total",
            all=("list(terms.values())).sum()", "list(terms.values())).mean()"))
in_backends("content term without gradient", "gradient/{recipe}/photo:content",
            all=('self.maybe_detach("content", maps[tap])', "maps[tap].detach()"))
in_backends("detached Gram matrix", "gradient/{recipe}/photo:style",
            all=('self.maybe_detach("style", maps[tap])', "maps[tap].detach()"))
in_backends("total variation without gradient", "gradient/{recipe}/photo:tv",
            all=('self.maybe_detach("tv", image)', "image.detach()"))
GRADIENT = {
    "torch": "for name, term in terms.items()}, gradient)", "mxnet": "for name, term in terms.items()}, image.grad)",
    "paddle": "for name, term in terms.items()}, gradient)",
}
for label, old, new in (("of the wrong sign", "}, ", "}, -"), ("halved", "}, ", "}, 0.5 * ")):
    in_backends(
        f"gradient {label}", "gradient/{recipe}/photo:total", "step/{recipe}/photo:image" if "sign" in label else
        "gradient/{recipe}/odd:total",
        **{backend: (text, text.replace(old, new)) for backend, text in GRADIENT.items()},
    )
in_backends(
    "gradient scaled by the number of pixels", "gradient/{recipe}/photo:total",
    **{backend: (text, text.replace("}, ", "}, 1 / image.shape[2] * ")) for backend, text in GRADIENT.items()},
)
in_backends("content targets kept in half precision", "terms/{recipe}/photo:content/*",
            all=("self.content = {tap: engine.tensor(array)", 'self.content = {tap: engine.tensor(array.astype("float16"))'))
in_backends("style targets kept in half precision", "terms/{recipe}/photo:style/*",
            all=("self.style = {tap: engine.tensor(array)", 'self.style = {tap: engine.tensor(array.astype("float16"))'))
in_backends("style targets from the content image", "targets/{recipe}/photo:style/*",
            all=("self.features_for(recipe, self.tensor(style)", "self.features_for(recipe, self.tensor(content)"))
in_backends("style targets with another divisor", "targets/{recipe}/photo:style/*", "terms/{recipe}/photo:style/*",
            recipes=(*MEANS, *SUMS),
            all=("given = recipe.gram_divisor, recipe", 'given = "hw", recipe'))
in_backends("terms without gradient have one", "gradient/lookcc/photo:total",
            all=("return tensor.detach() if kind in self.recipe.without_gradient else tensor", "return tensor"))
in_backends("style has no gradient where content shall have none", "gradient/lookcc/photo:style",
            all=("if kind in self.recipe.without_gradient", "if self.recipe.without_gradient"))

# What is optimized, and what the network is given

in_backends("an image in 0..1 is not normalized", "terms/tutorial/photo:style/*", "targets/tutorial/photo:style/*",
            all=('if recipe.space == "unit":', 'if recipe.space == "rgb":'))
in_backends("an image in 0..1 loses its mean only", "terms/tutorial/photo:style/*", "gradient/tutorial/photo:total",
            all=("image = (image - self.mean) / self.std", "image = image - self.mean"))
in_backends("an image in 0..1 is normalized as B, G, R", "terms/tutorial/photo:style/*",
            all=("for values in (RGB_MEAN, RGB_STD))", "for values in (RGB_MEAN[::-1], RGB_STD[::-1]))"))
in_backends("a normalized image is normalized again", "terms/d2l/photo:style/*", "gradient/{recipe}/photo:total",
            recipes=tuple(name for name in (*MEANS, *SUMS) if name != "tutorial"),
            all=('if recipe.space == "unit":', "if True:"))
in_backends("targets see max pooling where average is asked for", "targets/gatys2016/photo:style/*",
            all=("[tap for tap, _ in taps], recipe.pooling, ", '[tap for tap, _ in taps], "max", '))

in_backends("MXNet records in predict mode", "gradient/{recipe}/photo:content", recipes=MAX_POOLING,
            mxnet=("with autograd.record():\n            maps = self.engine.features_for",
                   "with autograd.record(train_mode=False):\n            maps = self.engine.features_for"))

# Wasserstein distances, squared variation, and the rest of crowsonkb's recipe

GAUSSIAN = ("terms/shallow-gaussian/odd/tile-16:style/relu2_1",)
BY_DISTANCE = ("terms/crowsonkb/photo:style/relu2_1", "gradient/crowsonkb/photo:style")


def rooted(torch: str, paddle: str, mxnet: str) -> dict[str, Edit]:
    """In place of C_t = A A, in the target's root."""
    words = {
        "torch": "return vectors * torch.sqrt(torch.clamp(values, min=COVARIANCE_EPSILON)) @ vectors.T",
        "paddle": "return paddle.matmul(vectors * paddle.sqrt(paddle.clip(values, min=COVARIANCE_EPSILON)), vectors.T)",
        "mxnet": "return np.dot(vectors * np.sqrt(np.maximum(values, COVARIANCE_EPSILON)), vectors.T)",
    }
    return {name: (words[name], text) for name, text in {"torch": torch, "paddle": paddle, "mxnet": mxnet}.items()}


in_losses("Wasserstein: means left out", *BY_DISTANCE, all=("((means + traces) / len(found))", "(traces / len(found))"))
in_losses("Wasserstein: covariances left out", *BY_DISTANCE, all=("((means + traces) / len(found))", "(means / len(found))"))
in_losses("Wasserstein: no mean over channels", *BY_DISTANCE, all=("((means + traces) / len(found))", "(means + traces)"))
in_losses("Wasserstein: epsilon of 1e-5", *BY_DISTANCE, all=("COVARIANCE_EPSILON = 1e-4", "COVARIANCE_EPSILON = 1e-5"))
in_losses("Wasserstein: covariance without epsilon", *BY_DISTANCE, all=("+ COVARIANCE_EPSILON * ", "+ 0.0 * "))
in_losses(
    "Wasserstein: raw moments for covariances", *BY_DISTANCE,
    torch=("moments[:, :-1] - mean @ mean.T +", "moments[:, :-1] +"),
    mxnet=("moments[:, :-1] - np.dot(mean, mean.T) +", "moments[:, :-1] +"),
    paddle=("moments[:, :-1] - paddle.matmul(mean, mean.T) +", "moments[:, :-1] +"),
)
in_losses(
    "Wasserstein: the covariance itself for its root", *BY_DISTANCE,
    **rooted("return covariance(target.to(torch.float64))", 'return covariance(target.astype("float64"))',
             'return covariance(target.astype("float64"))'),
)
in_losses(
    "Wasserstein: eigenvectors not transposed", *BY_DISTANCE,
    **rooted("return vectors * torch.sqrt(torch.clamp(values, min=COVARIANCE_EPSILON)) @ vectors",
             "return paddle.matmul(vectors * paddle.sqrt(paddle.clip(values, min=COVARIANCE_EPSILON)), vectors)",
             "return np.dot(vectors * np.sqrt(np.maximum(values, COVARIANCE_EPSILON)), vectors)"),
)
in_losses(
    "Wasserstein: root of A C without the second A", *BY_DISTANCE,
    torch=("eigh(root @ covariance @ root)", "eigh((root @ covariance + covariance @ root) / 2)"),
    mxnet=("eigh(np.dot(np.dot(root, covariance), root))", "eigh((np.dot(root, covariance) + np.dot(covariance, root)) / 2)"),
    paddle=("eigh(paddle.matmul(paddle.matmul(root, covariance), root))",
            "eigh((paddle.matmul(root, covariance) + paddle.matmul(covariance, root)) / 2)"),
)
in_losses(
    "Wasserstein: the trace without gradient", "gradient/crowsonkb/photo:style",
    torch=("- (across * mine).sum() - trace", "- 2 * trace"), paddle=("- (across * mine).sum() - trace", "- 2 * trace"),
    mxnet=("traces - (across * mine).sum() - trace", "traces - 2 * trace"),
)
in_losses(
    "Wasserstein: twice the trace's gradient", "gradient/crowsonkb/photo:style",
    all=("(across * mine).sum() - trace", "2 * (across * mine).sum()"),
)
in_losses(
    "Wasserstein: moments in float32", "gradient/crowsonkb/photo:style",
    torch=("-1).to(torch.float64)", "-1).float().to(torch.float64)"),
    mxnet=('-1).astype("float64")', '-1).astype("float32").astype("float64")'),
    paddle=('-1]).astype("float64")', '-1]).astype("float32").astype("float64")'),
)
in_losses(
    "Wasserstein: moments are sums", "targets/crowsonkb/photo:style/*", *BY_DISTANCE,
    torch=("dim=1) / matrix.shape[1]", "dim=1)"), mxnet=("axis=1) / matrix.shape[1]", "axis=1)"),
    paddle=("axis=1) / matrix.shape[1]", "axis=1)"),
)
in_losses(
    "squared variation: diagonals left out", "terms/crowsonkb/photo:tv", "gradient/crowsonkb/photo:tv",
    all=("2 * (straight / 3 + diagonal / 12)", "2 * straight / 3"),
)
in_losses(
    "squared variation: diagonals as heavy as the axes", "terms/crowsonkb/photo:tv", "gradient/crowsonkb/photo:tv",
    all=("2 * (straight / 3 + diagonal / 12)", "2 * (straight / 3 + diagonal / 3)"),
)
in_losses(
    "squared variation: zeros around the image", "terms/crowsonkb/photo:tv", "gradient/crowsonkb/photo:tv",
    torch=('F.pad(image, [1, 1, 1, 1], mode="replicate")', "F.pad(image, [1, 1, 1, 1])"),
    mxnet=("padded = repeat_border(image, 1)", "padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))"),
    paddle=('F.pad(image, [1, 1, 1, 1], mode="replicate")', "F.pad(image, [1, 1, 1, 1])"),
)
in_backends("absolute variation where squares are asked for", "terms/crowsonkb/photo:tv", all=(", recipe.variation)", ")"))
in_backends("zeros around the first convolution", "terms/crowsonkb/photo:style/relu1_1", "gradient/crowsonkb/photo:total",
            all=(', recipe.pooling, recipe.first_padding)', ", recipe.pooling)"))
in_backends("every convolution sees its border repeated", "terms/crowsonkb/photo:style/relu2_1",
            all=('if padding == "replicate" and layer.index == 0:', 'if padding == "replicate":'))
in_backends("averages not doubled", "targets/shallow-gaussian/odd/tile-16:content/pool2", *GAUSSIAN,
            all=('x = x * AVERAGE_SCALE if pooling == "average-doubled" else x', "x = x"))
in_core("tiles: moments without means", "tiles", "sums = np.concatenate([x @ x.T, x.sum(axis=1, keepdims=True)], axis=1)",
        "sums = np.concatenate([x @ x.T, 0 * x.sum(axis=1, keepdims=True)], axis=1)", *GAUSSIAN)
in_core("tiles: moments of the halo, too", "tiles",
        "engine.array(maps[tap])[window.core_of(engine.network.layer(tap).halvings)]", "engine.array(maps[tap])", *GAUSSIAN)
in_core("tiles: the gradient by means left out", "tiles", "if self.constant is None:", "if True:",
        "gradient/shallow-gaussian/odd/tile-16:style")
in_core("tiles: the gradient by means in the halo, too", "tiles", "inside = engine.within(window, tap, x * 0 + 1)",
        "inside = x * 0 + 1", "gradient/shallow-gaussian/odd/tile-16:style")
in_core("tiles: squared variation counts a row twice", "tiles",
        "rows = {0: slice(int(first), -1),", "rows = {0: slice(int(first), None),",
        "terms/shallow-gaussian/wide/tile-64:tv", "gradient/shallow-gaussian/wide/tile-64:tv")

HALF_SUM = ("terms/neural-style/photo:tv", "gradient/neural-style/photo:tv")
in_losses("half-sum variation: the last row and column count", *HALF_SUM,
          torch=("(torch.square(down[:, :, :, :-1]).sum() + torch.square(right[:, :, :-1, :]).sum())",
                 "(torch.square(down).sum() + torch.square(right).sum())"),
          mxnet=("(np.square(down[:, :, :, :-1]).sum() + np.square(right[:, :, :-1, :]).sum())",
                 "(np.square(down).sum() + np.square(right).sum())"),
          paddle=("(paddle.square(down[:, :, :, :-1]).sum() + paddle.square(right[:, :, :-1, :]).sum())",
                  "(paddle.square(down).sum() + paddle.square(right).sum())"))
in_losses("half-sum variation: the whole sum", *HALF_SUM,
          **{name: (f"return 0.5 * ({name_of}.square(", f"return 1.0 * ({name_of}.square(")
             for name, name_of in (("torch", "torch"), ("mxnet", "np"), ("paddle", "paddle"))})
in_core("tiles: half-sum variation of strips without the next one's first row", "tiles",
        "strip = image[:, :, top : top + STRIP + 1]", "strip = image[:, :, top : top + STRIP]",
        "terms/shallow-half/wide/tile-64:tv")

RUN_OF_AVERAGES = "run/crowsonkb/photo:image*"
in_core("an average that is not bias-corrected", "optim", 'return state["average"] / (1 - self.decay ** state["averaged"]) if',
        'return state["average"] if', RUN_OF_AVERAGES)
in_core("an average that counts one image less", "optim", '(1 - self.decay ** state["averaged"])',
        '(1 - self.decay ** (state["averaged"] - 1) + 1e-9)', RUN_OF_AVERAGES)
in_core("an average of the images before only", "optim", 'state.update(self.seen(state, state["image"]))', "state.update({})",
        RUN_OF_AVERAGES)
in_core("an average without the last image", DESCENT, "self.state = self.method.seen(self.state, self.seen[0])",
        "self.state = dict(self.state)", "run/crowsonkb/photo:image")
in_core("the last image is shown in place of the average", DESCENT,
        "if self.recipe.average_decay else image", "if False else image", RUN_OF_AVERAGES)
in_core("a level starts from the last image, not from the average", DESCENT,
        "self.engine.array(self.shown(self.method.seen(state, last), last))", "self.engine.array(last)", RUN_OF_AVERAGES)
in_core("a level starts from an average that lacks the last image", DESCENT, "self.shown(self.method.seen(state, last), last)",
        "self.shown(state, last)", RUN_OF_AVERAGES)
in_core("moments begin anew at each level", DESCENT, "if self.recipe.carries_moments:", "if False:", RUN_OF_AVERAGES)
in_core("moments go on as they are, whatever the size", DESCENT, "reached = dataclasses.replace(reached, moments=resized(",
        "reached = dataclasses.replace(reached, moments=dict(reached.moments) or resized(", RUN_OF_AVERAGES)
in_core("moments go on, and their count of steps does not", DESCENT, 'state.get("steps_before", 0) + state["step"]', "0",
        RUN_OF_AVERAGES)
in_core("the second moment goes on as a copy of the first", DESCENT, '{name: self.engine.array(state[name]) for name in',
        '{name: self.engine.array(state["moment1"]) for name in', RUN_OF_AVERAGES)
in_core("corrections of moments that go on count from the level's start", "optim",
        'count = step + state.get("steps_before", 0)', "count = step", RUN_OF_AVERAGES)

# Style networks

REFLECT = {
    "torch": 'F.pad(x, [stage.padding] * 4, mode="reflect")', "paddle": 'F.pad(x, [stage.padding] * 4, mode="reflect")',
    "mxnet": 'return mxnet.nd.pad(x.as_nd_ndarray(), mode="reflect", pad_width=widths).as_np_ndarray()',
}
NORM = {
    "torch": "F.group_norm(x, x.shape[1], scale, shift, EPSILON)", "paddle": "F.instance_norm(x, eps=EPSILON)",
    "mxnet": "np.sqrt(variance + EPSILON)",
}
NEAREST = {
    "torch": 'F.interpolate(x, scale_factor=2, mode="nearest")', "mxnet": "np.repeat(np.repeat(x, 2, axis=2), 2, axis=3)",
    "paddle": 'F.interpolate(x, scale_factor=2, mode="nearest")',
}
CONVOLVED = {
    "torch": 'F.conv2d(x, parameters[f"{stage.name}.weight"]', "paddle": 'F.conv2d(x, parameters[f"{stage.name}.weight"]',
    "mxnet": "(x, weight) if bias is None else (x, weight, bias)",
}
VJP = {
    "torch": "torch.autograd.grad(transformed, list(parameters.values()), cotangent)",
    "mxnet": "autograd.backward([transformed], [cotangent])",
    "paddle": "paddle.grad(transformed, list(parameters.values()), cotangent)",
}
#: torch's function has no place for a mistake: this is what it does.
TORCH_NORM = (
    "(scale.reshape(1, -1, 1, 1) * (x - x.mean((2, 3), keepdim=True)) / ROOT"
    " + (0 if shift is None else shift.reshape(1, -1, 1, 1)))"
)
PADDLE_NORM = "(x - x.mean([2, 3], keepdim=True)) / ROOT"

in_transforms("border of zeros instead of reflection", "transform/21x18:image", "vjp/21x18:*",
              **{backend: (text, text.replace("reflect", "constant")) for backend, text in REFLECT.items()})
in_transforms("border repeated instead of reflection", "transform/21x18:image",
              **{backend: (text, text.replace("reflect", "edge" if backend == "mxnet" else "replicate"))
                 for backend, text in REFLECT.items()})
in_transforms(
    "the border itself is reflected, too", "transform/21x18:image",
    torch=(REFLECT["torch"], "(lambda y, p: torch.cat([y[..., :p].flip(3), y, y[..., -p:].flip(3)], 3))((lambda y, p: "
           "torch.cat([y[:, :, :p].flip(2), y, y[:, :, -p:].flip(2)], 2))(x, stage.padding), stage.padding)"),
    mxnet=(REFLECT["mxnet"], "p = padding; x = np.concatenate([np.flip(x[:, :, :p], 2), x, np.flip(x[:, :, -p:], 2)], axis=2); "
           "return np.concatenate([np.flip(x[..., :p], 3), x, np.flip(x[..., -p:], 3)], axis=3)"),
    paddle=(REFLECT["paddle"], "(lambda y, p: paddle.concat([y[..., :p].flip(3), y, y[..., -p:].flip(3)], 3))((lambda y, p: "
            "paddle.concat([y[:, :, :p].flip(2), y, y[:, :, -p:].flip(2)], 2))(x, stage.padding), stage.padding)"),
)
in_transforms("an enlarged map is not padded", "transform/21x18:image", "transform/20x19:image",
              **{backend: (text, f"({text} if stage.restores is None else x)") for backend, text in REFLECT.items()
                 if backend != "mxnet"},
              mxnet=("pad(x, stage.padding))", "pad(x, stage.padding) if stage.restores is None else x)"))
in_transforms("an enlarged map is not cut", "transform/21x18:image", all=("[:, :, :height, :width]", ""))
in_transforms("an enlarged map loses its first row", "transform/21x18:image", "vjp/21x18:*",
              all=("[:, :, :height, :width]", "[:, :, -height:, -width:]"))
in_transforms(
    "bilinear enlarging", "transform/21x18:image", "transform/20x19:image",
    **{backend: (NEAREST[backend], NEAREST[backend].replace("nearest", "bilinear")) for backend in ("torch", "paddle")},
    mxnet=(NEAREST["mxnet"], "mxnet.nd.contrib.BilinearResize2D(x.as_nd_ndarray(), scale_height=2, scale_width=2, "
           'mode="size").as_np_ndarray()'),
)
in_transforms("the border of an enlarged map is zero where its kernels are folded", "transform/20x19:image",
              torch=('F.pad(x, [1] * 4, mode="replicate")', "F.pad(x, [1] * 4)"))
in_transforms(
    "unbiased variance", "transform/21x18:image", "transform/johnson:image", "vjp/21x18:*",
    torch=(NORM["torch"], TORCH_NORM.replace("ROOT", "torch.sqrt(x.var((2, 3), keepdim=True) + EPSILON)")),
    mxnet=("np.square(centered).mean(axis=(2, 3), keepdims=True)",
           "np.square(centered).sum(axis=(2, 3), keepdims=True) / (x.shape[2] * x.shape[3] - 1)"),
    paddle=(NORM["paddle"], PADDLE_NORM.replace("ROOT", "paddle.sqrt(x.var([2, 3], keepdim=True) + EPSILON)")),
)
in_transforms(
    "instance normalization with epsilon outside its root", "transform/21x18:image", "vjp/21x18:*",
    torch=(NORM["torch"], TORCH_NORM.replace("ROOT", "(torch.sqrt(x.var((2, 3), False, keepdim=True)) + EPSILON)")),
    mxnet=(NORM["mxnet"], "(np.sqrt(variance) + EPSILON)"),
    paddle=(NORM["paddle"], PADDLE_NORM.replace("ROOT", "(paddle.sqrt(x.var([2, 3], False, keepdim=True)) + EPSILON)")),
)
in_transforms("the frameworks' own epsilon in instance normalization", "transform/21x18:image",
              **{backend: (text, text.replace("EPSILON", "1e-5")) for backend, text in NORM.items()})
in_transforms(
    "no gradient through a channel's std", "vjp/21x18:*.weight",
    torch=(NORM["torch"], TORCH_NORM.replace("ROOT", "torch.sqrt(x.var((2, 3), False, keepdim=True) + EPSILON).detach()")),
    mxnet=(NORM["mxnet"], "np.sqrt(variance + EPSILON).detach()"),
    paddle=(NORM["paddle"],
            PADDLE_NORM.replace("ROOT", "paddle.sqrt(x.var([2, 3], False, keepdim=True) + EPSILON).detach()")),
)
in_transforms(
    "normalized in float32", "transform/21x18:image",
    torch=(NORM["torch"], "F.instance_norm(x.float(), weight=scale.float(), bias=None if shift is None else shift.float(), "
           "eps=EPSILON).to(x.dtype)"),
    mxnet=("    centered = x - ", '    x = x.astype("float32").astype(x.dtype)\n    centered = x - '),
    paddle=(NORM["paddle"], 'F.instance_norm(x.astype("float32"), eps=EPSILON).astype(x.dtype)'),
)
in_transforms(
    "a shift that is not applied", "transform/21x18:image", "vjp/21x18:*.shift",
    torch=("scale, shift, EPSILON", "scale, None if shift is None else 0 * shift, EPSILON"),
    mxnet=("normed + shift", "normed + 0 * shift"), paddle=("normed + shift", "normed + 0 * shift"),
)
in_transforms("scales counted from 0", "transform/21x18:image",
              all=('parameters[f"{stage.name}.scale"], ', '1 + parameters[f"{stage.name}.scale"], '))
in_transforms("the last stage's bias dropped", "transform/21x18:image", "stages:out",
              all=('parameters.get(f"{stage.name}.bias")', 'None if stage.norm else 0 * parameters["out.bias"]'))
in_transforms("a residual block forgets what it was given", "transform/21x18:image", "vjp/21x18:*",
              all=("if stage.adds is not None:", "if False:"))
in_transforms("a map on the way down is not added on the way up", "transform/narrow:image", "vjp/narrow:down1.weight",
              all=("if stage.adds is not None:", "if stage.adds is not None and stage.restores is None:"))
in_transforms("a network that makes a change, and not a picture, gets no picture", "transform/narrow:image",
              all=("{PICTURE: image} if", "{PICTURE: 0 * image} if"))
in_transforms("ReLU after the residual sum", "transform/21x18:image", "vjp/21x18:*",
              all=("if stage.relu:", "if stage.relu or stage.adds:"))
in_transforms("ReLU before instance normalization", "transform/21x18:image",
              all=("            if stage.norm:\n",
                   "            if stage.norm:\n                x = (x + abs(x)) / 2 if stage.relu else x\n"))
in_transforms("strides that begin with the second pixel", "transform/20x19:image", "stages:down2",
              **{backend: (text, text.replace("(x, ", "(x[:, :, stage.stride - 1 :, stage.stride - 1 :], "))
                 for backend, text in CONVOLVED.items()})
in_transforms(
    "kernels of a style network turned by 180 degrees", "stages:down1", "transform/21x18:image",
    torch=(CONVOLVED["torch"], CONVOLVED["torch"] + ".flip(2, 3)"),
    paddle=(CONVOLVED["paddle"], CONVOLVED["paddle"] + ".flip([2, 3])"),
    mxnet=(CONVOLVED["mxnet"], CONVOLVED["mxnet"].replace("weight", "np.flip(weight, (2, 3))")),
)
in_transforms(
    "apply rounds its picture to half precision", "transform/21x18:image",
    torch=("            return self.forward(parameters, image)",
           "            return self.forward(parameters, image.half().to(image.dtype))"),
    mxnet=("            return self.forward(parameters, image)",
           '            return self.forward(parameters, image.astype("float16").astype(image.dtype))'),
    paddle=("            return self.forward(parameters, image)",
            '            return self.forward(parameters, image.astype("float16").astype(image.dtype))'),
)
in_transforms("a cotangent of ones, whatever is given", "vjp/21x18:*", "training-gradient/d2l/21x18:*.weight",
              torch=(VJP["torch"], VJP["torch"].replace("cotangent", "torch.ones_like(cotangent)")),
              mxnet=(VJP["mxnet"], VJP["mxnet"].replace("cotangent", "np.ones_like(cotangent)")),
              paddle=(VJP["paddle"], VJP["paddle"].replace("cotangent", "paddle.ones_like(cotangent)")))
in_transforms("no gradient beyond the residual blocks", "vjp/21x18:down*.weight",
              all=("        for stage in self.network.stages:\n",
                   '        for stage in self.network.stages:\n            x = x.detach() if stage.name == "up1" else x\n'))

# Core: style networks

in_core("1e-5 for the power of two near it", "transform_network", "EPSILON = 2.0**-17", "EPSILON = 1e-5",
        "transform/21x18:image")
in_core("every block adds what came before the first", "transform_network", "before = table[-1].name", "before = table[2].name",
        "transform/21x18:image", "vjp/21x18:*")
in_core("a ReLU ends each block", "transform_network", "relu=False, adds=before", "relu=True, adds=before",
        "transform/21x18:image")
in_core("a stride too many is undone", "transform_network", 'restores="down3"', 'restores="block1_1"', "transform/21x18:image")
in_core("gradients of photographs added up, and not averaged", TRAINER, "part / len(photographs) for", "part for",
        "training/d2l:down1.weight")
in_core("losses of photographs added up, and not averaged", TRAINER, "value / len(photographs) for", "value for",
        "training/d2l:totals", "training/d2l:losses")
in_core("only the last photograph's gradient", TRAINER, "gradient[name] + part if gradient else part", "part",
        "training/d2l:*.weight")
in_core("the content target is the network's own output", TRAINER, "self.objective(given, style)(transformed)",
        "self.objective(transformed, style)(transformed)", "training-gradient/d2l/21x18:content/*")
in_core("the photograph's style for the style image's", TRAINER, "items()}, self.styles[style])",
        "items()}, self.engine.targets(losses, *[self.engine.array(photograph)] * 2).style)",
        "training-gradient/d2l/21x18:style/*")
in_core("the gradient of the loss without its sign", TRAINER, "vjp(evaluation.gradient)", "vjp(abs(evaluation.gradient))",
        "training-gradient/d2l/21x18:*.weight")
in_core("every photograph is painted in the first style", TRAINER, "row = self.rows[style]", "row = self.rows[0]",
        "training-gradient/d2l/20x19:*", "training/d2l:*.shift")
in_core("every photograph is held to the first style image", TRAINER, "self.styles[style])", "self.styles[0])",
        "training-gradient/d2l/20x19:style/*")
in_core("every gradient moves the first style", TRAINER, "column = self.rows[style]", "column = self.rows[0]",
        "training-gradient/d2l/20x19:*.scale", "training/d2l:*.shift")
in_core("every gradient moves all styles", TRAINER, "column = self.rows[style]", "column = sum(self.rows)",
        "training-gradient/d2l/20x19:*.scale", "training/d2l:*.shift")
in_core("a mixture is of scales alone", "transform_network", "name: row @ array if is_own(name) else array",
        'name: (row if name.endswith("scale") else row.round()) @ array if is_own(name) else array', "mixture:*.shift")
in_core("weights of a mixture are brought to a sum of 1", "transform_network", "row = np.asarray(weights, np.float64)",
        "row = np.asarray(weights, np.float64) / np.sum(weights)", "mixture:*")
in_core("a training forgets its moments", TRAINER, "self.adam_of(name).update(dict(state[name]), part)",
        'self.adam.update({**self.adam.start(state[name]["image"]), "step": state[name]["step"]}, part)',
        "training/d2l:*.weight")
in_core("every step of a training is its first", TRAINER, "self.adam_of(name).update(dict(state[name]), part)",
        'self.adam_of(name).update({**state[name], "step": 0}, part)', "training/d2l:rates", "training/d2l:*.weight")
in_core("all parameters have one second moment", TRAINER, "self.adam_of(name).update(dict(state[name]), part)",
        'self.adam.update({**state[name], "moment2": state[name]["moment2"] * 0 + first["moment2"].sum()}, part)',
        "training/d2l:*.weight")
in_core("scales and shifts learn no faster", TRAINER, "self.adam_of_styles if is_own(name)", "self.adam if is_own(name)",
        "training/d2l:*.scale", "training/d2l:*.shift")
in_core("kernels learn as fast as scales", TRAINER, "if is_own(name) else self.adam", "if True else self.adam",
        "training/d2l:*.weight")
in_core("steps of a training counted from one", TRAINER, "TrainingEvent(step, ", "TrainingEvent(step + 1, ",
        "training/d2l:steps")

# Core: recipes

in_core("the recipe loses its tenfold", "published", "style_weight=1e4", "style_weight=1e3", "recipe/{recipe}:style_weight",
        recipes=OF_D2L)
in_core("content tap one convolution early", "published", 'content_layers=alike("conv4_4")', 'content_layers=alike("conv4_3")',
        "recipe/{recipe}:content_layers/*", recipes=("d2l", "d2l-mxnet-tab"))
in_core("a style tap one convolution late", "published", '"conv2_1", "conv3_1", "conv4_1", "conv5_1")',
        '"conv2_1", "conv3_2", "conv4_1", "conv5_1")',
        "recipe/{recipe}:style_layers/*", recipes=("d2l", "d2l-mxnet-tab"))
in_core("the MXNet tab's learning rate", "published", "optimizer=AdamSettings(learning_rate=0.3)",
        "optimizer=AdamSettings(learning_rate=0.9)", "recipe/{recipe}:optimizer/learning_rate",
        recipes=("d2l", "d2l-torch-tab"))
in_core("the last tap of d2l's PyTorch tab after its ReLU", "published", '"relu4_1", "conv5_1")', '"relu4_1", "relu5_1")',
        "recipe/d2l-torch-tab:style_layers/*")
in_core("the paper's layers in the tutorial", "published", 'alike("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")',
        'alike("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")', "recipe/tutorial:style_layers/*",
        "recipe/tutorial-square:style_layers/*")
in_core("the tutorial without clamping", "published", '    clamped=True,\n    start="content",\n    optimizer=Lbfgs',
        '    start="content",\n    optimizer=Lbfgs', "recipe/tutorial:clamped",
        "recipe/tutorial-square:clamped")
in_core("a weight of wei's", "published", '("relu2_1", 0.75)', '("relu2_1", 0.7)', "recipe/wei:style_layers/relu2_1")
in_core("lookcc's content moves the image", "published", '    without_gradient=("content",),\n', "",
        "recipe/lookcc:without_gradient")
in_core("equal layers of weight 1 in Gatys' recipe", "published", "tuple((tap, 0.2) for tap", "tuple((tap, 1.0) for tap",
        "recipe/gatys2016:style_layers/*", "recipe/gatys2016-max:style_layers/*")
in_core("beta2 of 0.99", "recipe", "beta2: float = 0.999", "beta2: float = 0.99", "recipe/{recipe}:optimizer/beta2",
        recipes=OF_ADAM)
in_core("epsilon of 1e-7, as in Keras", "recipe", "epsilon: float = 1e-8", "epsilon: float = 1e-7",
        "recipe/{recipe}:optimizer/epsilon", recipes=OF_ADAM)
in_core("ten times too much total variation", "published", "    tv_weight=10.0", "    tv_weight=100.0",
        "recipe/{recipe}:tv_weight", recipes=OF_D2L)
in_core("decay one step early", "recipe", "step // self.every", "(step + 1) // self.every",
        "schedule/{recipe}:rates", "run/{recipe}/photo:rates", recipes=OF_D2L)
in_core("decay one step late", "recipe", "step // self.every", "(step - 1) // self.every",
        "schedule/{recipe}:rates", "run/{recipe}/photo:rates", recipes=OF_D2L)
in_core("decay not compounding", "recipe", "self.factor ** (step // self.every)", "(self.factor if step >= self.every else 1)",
        "schedule/{recipe}:rates", "run/{recipe}/photo:image", recipes=OF_D2L)
in_core("decay a little at every step", "recipe", "step // self.every", "step / self.every",
        "schedule/{recipe}:rates", "run/{recipe}/photo:rates", recipes=OF_D2L)

# Core: Adam

ROOT = "root = moment2**0.5 / (1 - beta2**count) ** 0.5"
in_core("epsilon-hat Adam", "optim", "(root + self.settings.epsilon)",
        "(root + self.settings.epsilon / (1 - beta2**count) ** 0.5)", "adam/{recipe}/1e-6:image")
in_core("epsilon inside the root", "optim", ROOT, "root = (moment2 / (1 - beta2**count) + self.settings.epsilon) ** 0.5",
        "adam/{recipe}/1e-3:image")
in_core("beta2 in float32", "optim", "beta1, beta2 = self.settings.beta1, self.settings.beta2",
        "beta1, beta2 = self.settings.beta1, 0.9990000128746033", "adam/{recipe}/1:image")
in_core("beta1 in float32", "optim", "beta1, beta2 = self.settings.beta1, self.settings.beta2",
        "beta1, beta2 = 0.8999999761581421, self.settings.beta2", "adam/{recipe}/1:image")
in_core("first moment not corrected", "optim", "rate = self.learning_rate(state) / (1 - beta1**count)",
        "rate = self.learning_rate(state)", "adam/{recipe}/1:image", "step/{recipe}/photo:image")
in_core("second moment not corrected", "optim", ROOT, "root = moment2**0.5", "adam/{recipe}/1:image",
        "step/{recipe}/photo:image")
in_core("corrections one step late", "optim", "(1 - beta1**count)", "(1 - beta1 ** (count + 1))", "adam/{recipe}/1:image")
in_core("corrections counted from zero", "optim", 'state["image"], state["step"] + 1', 'state["image"], state["step"]',
        "adam/{recipe}/1")
in_core("second moment of absolute values", "optim", "gradient * gradient * (1 - beta2)", "abs(gradient) * (1 - beta2)",
        "adam/{recipe}/1e-3:image")
in_core("beta1 and 1 - beta1 exchanged", "optim", 'state.pop("moment1") * beta1 + gradient * (1 - beta1)',
        'state.pop("moment1") * (1 - beta1) + gradient * beta1', "adam/{recipe}/1:image")
in_core("corrections end at step 10", "optim", "(1 - beta1**count)", "(1 - beta1**count if count <= 10 else 1)",
        "adam/{recipe}/1:image")
in_core("a step uphill", "optim", '"image": image - move * rate', '"image": image + move * rate',
        "adam/{recipe}/1:image")

# Core: L-BFGS

LBFGS = ("tutorial", "gatys2016", "gatys2016-max", "d2l-lbfgs", "d2l-wolfe")

in_core("L-BFGS with a history of 10", "optim", "[-history:]", "[-10:]", "run/{recipe}/photo:image",
        recipes=LBFGS)
in_core("L-BFGS with a whole first step", "optim", "min(1.0, 1 / float(abs(gradient).sum()))", "1.0",
        "run/{recipe}/photo:totals", recipes=LBFGS)
in_core("L-BFGS without its initial scale", "optim", "direction = direction * self.scale",
        "direction = direction * 1.0",
        "run/{recipe}/photo:totals", recipes=LBFGS)
in_core("L-BFGS with its second loop backwards", "optim", "in zip(self.pairs, reversed(shares), strict=True)",
        "in zip(self.pairs, shares, strict=True)", "run/{recipe}/photo:totals", recipes=LBFGS)
in_core("L-BFGS scales by the wrong quotient", "optim", "scale = curvature / dot(change, change)",
        "scale = dot(move, move) / curvature", "run/{recipe}/photo:image", recipes=LBFGS)

# Core: the line search

#: Runs that widen, and zoom into brackets. (What a zoom does about a cubic that does not fit, test_optim.py holds to torch's.)
SEARCHES = ("d2l-wolfe", "d2l-wolfe-blocks", "tutorial-wolfe")
ZOOMING = ("d2l-wolfe-blocks", "tutorial-wolfe")
WOLFE = "SUFFICIENT_DECREASE, CURVATURE_CONDITION = 1e-4, 0.9"

in_core("a line search that wants half of the promised decrease", "optim", WOLFE, WOLFE.replace("1e-4", "0.5"),
        "run/{recipe}/photo:steps", recipes=ZOOMING)
in_core("a line search with a curvature condition of 0.1", "optim", WOLFE, WOLFE.replace("0.9", "0.1"),
        "run/{recipe}/photo:steps", recipes=SEARCHES)
in_core("a line search without curvature condition", "optim",
        "return abs(trial.derivative) <= -CURVATURE_CONDITION * self.start.derivative", "return True",
        "run/{recipe}/photo:steps", recipes=("d2l-wolfe", "tutorial-wolfe"))
in_core("the weak curvature condition for the strong one", "optim", "return abs(trial.derivative) <=",
        "return -trial.derivative <=",
        "run/{recipe}/photo:images", recipes=("tutorial-wolfe",))
in_core("a search that halves its bracket", "optim", "if square >= 0 and", "if square < 0 and", "run/{recipe}/photo:images",
        recipes=SEARCHES)
in_core("a cubic with 2 for its 3", "optim", "a.derivative + b.derivative - 3 *", "a.derivative + b.derivative - 2 *",
        "run/{recipe}/photo:images", recipes=ZOOMING)
in_core("the cubic's maximum for its minimum", "optim", "(b.derivative + math.sqrt(square) - mean) / bend",
        "(b.derivative - math.sqrt(square) - mean) / bend", "run/{recipe}/photo:images", recipes=ZOOMING)
in_core("a search that widens a hundredfold", "optim", "MOST_WIDENING = 0.01, 10", "MOST_WIDENING = 0.01, 100",
        "run/{recipe}/photo:images", recipes=("d2l-wolfe",))
in_core("an accepted picture is evaluated once more", "optim", "following.update(gradient=found.gradient, total=found.total)",
        "pass", "run/{recipe}/photo:totals", recipes=SEARCHES)
in_core("a search in blocks of any number of evaluations", "optim", "self.most_evaluations = settings.iterations * 5 // 4",
        "self.most_evaluations = 10**6",
        "run/{recipe}/photo:steps", recipes=ZOOMING)
in_core("a search remembers directions, not moves", "optim", "with_pair(move, found.gradient - gradient",
        "with_pair(search.direction, found.gradient - gradient", "run/{recipe}/photo:images", recipes=ZOOMING)
in_core("a search forgets nothing", "optim", "[-history:]", "", "run/{recipe}/photo:images", recipes=ZOOMING)
in_core("a trial is taken for a picture of the run", DESCENT, "trial=judgment.tried", "trial=False",
        "run/{recipe}/photo:trials", recipes=SEARCHES)
in_core("a search in progress is finished after the last evaluation",
        DESCENT, "between_blocks = self.recipe.searches or ", "between_blocks = ",
        "run/{recipe}/photo:steps", recipes=SEARCHES)

# Core: pictures

in_core("mean and std exchanged", ARRAYS, "- np.array(RGB_MEAN)) / np.array(RGB_STD)",
        "- np.array(RGB_STD)) / np.array(RGB_MEAN)", "normalize:photo")
in_core(
    "mean and std on the wrong scale", ARRAYS, "np.arange(256.0)[:, None] / 255", "np.arange(256.0)[:, None]",
    "normalize:photo"
)
in_core("256 for 255", ARRAYS, "np.arange(256.0)[:, None] / 255", "np.arange(256.0)[:, None] / 256", "normalize:photo")
in_core("mean in the order B, G, R", "network", "RGB_MEAN = (0.485, 0.456, 0.406)", "RGB_MEAN = (0.406, 0.456, 0.485)",
        "normalize:photo", "denormalize:outside")
in_core("a digit of the std", "network", "RGB_STD = (0.229, 0.224, 0.225)", "RGB_STD = (0.229, 0.224, 0.226)",
        "normalize:photo")
in_core("picture height and width transposed", ARRAYS, "[strip[..., channel]]",
        "[strip[..., channel].T.reshape(strip.shape[:2])]", "normalize:photo")
in_core("truncation for rounding", ARRAYS, "np.rint(pixels.clip(0, 1) * most)", "(pixels.clip(0, 1) * most)",
        "denormalize:outside", "round-trip:photo")
in_core("clipping forgotten", ARRAYS, "np.rint(pixels.clip(0, 1) * most)", "np.rint(pixels * most)", "denormalize:outside")
in_core("clipped before it is denormalized", ARRAYS, "pixels = pixels * np.array(RGB_STD)",
        "pixels = pixels.clip(0, 1) * np.array(RGB_STD)", "denormalize:outside")
in_core(
    "resized to the nearest pixel", ARRAYS, "Image.Resampling.BILINEAR)", "Image.Resampling.NEAREST)", "resize/half:photo"
)
in_core("an odd pixel cropped on the other side", ARRAYS, "round((picture.height - height) / 2)",
        "(picture.height - height) // 2", "crop/both:photo")
in_core("the seed ignored", ARRAYS, "RandomState(seed).standard_normal(", "RandomState(0).standard_normal(", "noise:normal/1")
in_core("uniform noise around 0", ARRAYS, "uniform(size=shape)", "uniform(-0.5, 0.5, size=shape)", "noise:uniform/0")
in_core("L-BFGS's first step lengthened", "optim", "min(1.0, 1 / float(abs(gradient).sum()))", "1 / float(abs(gradient).sum())",
        "run/d2l-lbfgs-faint/photo:images")
in_core("resized with bicubic weights", ARRAYS, "Image.Resampling.BILINEAR)", "Image.Resampling.BICUBIC)", "resize/odd:photo")
in_core("resized without antialiasing", ARRAYS, "picture.resize((width, height), Image.Resampling.BILINEAR)",
        "picture.transform((width, height), Image.Transform.EXTENT, (0, 0, *picture.size), Image.Resampling.BILINEAR)",
        "resize/half:photo", "resize/odd:photo")
in_core("resized with exchanged axes", ARRAYS, "picture.resize((width, height)", "picture.resize((height, width)",
        "resize/odd:photo")

# Core: the network, the losses, the run

in_core("the layer of the deepest tap cut off", "network", "for tap in taps) + 1]", "for tap in taps)]", "features/photo")
in_core("VGG-16's depths for VGG-19", "network", 'Network("vgg19", VGG19_DEPTHS', 'Network("vgg19", VGG16_DEPTHS',
        "zoo/noise@vgg19*")
in_core("a pool of 3", "network", "POOL = 2\n", "POOL = 3\n", "features/photo")
in_core("specification: content loss summed", "losses", '"mean": 1 / target.size',
        '"mean": 1.0', "terms/{recipe}/photo:content/*", recipes=MEANS)
in_core("specification: half of the style gradient", "losses", "4 * difference @ matrix", "2 * difference @ matrix",
        "gradient/{recipe}/photo:style", recipes=WITH_GRAMS)
in_core("specification: gradient of total variation upside down", "losses", "gradient[:, :, 1:, :] += down",
        "gradient[:, :, 1:, :] -= down", "gradient/{recipe}/photo:tv", recipes=WITH_TV)
in_core("specification: squared variation forgets half of a diagonal", "losses", "(1 / 12, np.s_[:, :, 1:, :-1]",
        "(1 / 24, np.s_[:, :, 1:, :-1]", "terms/crowsonkb/photo:tv")
in_core("specification: the mean's gradient of a Wasserstein distance left out in tiles", "losses",
        "- 2 * by_covariance @ found[:, -1:]", "+ 0 * found[:, -1:]", "gradient/shallow-gaussian/odd/tile-16:style")
# (In gatys2016 the search's last trial is taken, and so is the last picture, which is then evaluated twice.)
in_core("the last picture is not evaluated", DESCENT, '            self.evaluate(self.state["image"])\n', "",
        "run/{recipe}/photo:totals", "run/tutorial-wolfe/photo:totals", "run/d2l-wolfe-blocks/photo:totals",
        recipes=[name for name in RECIPES if name != "gatys2016"])
in_core("clamping forgotten at every evaluation", DESCENT, "image.clip(0, 1) if self.recipe.clamped else image", "image",
        "run/tutorial/photo:images")
in_core("the optimizer goes on from the unclamped image", DESCENT,
        "        image = self.within(image)\n        evaluation = self.objective(image)\n",
        "        evaluation = self.objective(self.within(image))\n",
        "run/tutorial/photo:images")
in_core("every picture of a run is the last one", DESCENT,
        "lambda: self.engine.array(picture)", 'lambda: self.engine.array(self.state["image"])',
        "run/{recipe}/photo:images")
in_core("losses of one tap instead of all", "losses", 'sums[name.split("/")[0]] += value', 'sums[name.split("/")[0]] = value',
        "run/{recipe}/photo:losses")
in_core("steps counted from one", DESCENT, "step=before.step + judgment.step,", "step=before.step + judgment.step + 1,",
        "run/{recipe}/photo:steps")

in_core("the scale of a coarse level taken along as it is", DESCENT, "scale=reached.scale * pixels[i] / pixels[i - 1]",
        "scale=reached.scale", "run/d2l-wolfe-pyramid/photo:images")
in_core("the scale of a coarse level forgotten", DESCENT, "self.method.start(image, before.scale)", "self.method.start(image)",
        "run/d2l-wolfe-pyramid/photo:images")
in_core("a level begins anew", DESCENT, "start.append(resize_array(reached.image, *size))", "start.append(pictures()[0])",
        "run/d2l-wolfe-pyramid/photo:images")
in_core("a level goes on from a picture that was not clamped", DESCENT, 'last = self.within(state["image"])',
        'last = state["image"]', "run/unit-pyramid/photo:images")
in_core("a level enlarged to the nearest pixel", ARRAYS, "np.asarray(resize(channel, height, width))",
        "np.asarray(channel.resize((width, height), Image.Resampling.NEAREST))", "run/d2l-wolfe-pyramid/photo:images")
in_core("a level's style is the full size's", DESCENT, "targets_of(engine, recipe, *pictures())",
        "targets_of(engine, recipe, pictures()[0], levels[-1][2]()[1])", "run/d2l-wolfe-pyramid/photo:coarse images")
in_core("steps counted anew at each level",
        DESCENT, 'return Reached(before.step + state["step"], before.evaluations + self.evaluations,', "return Reached(0, 0,",
        "run/d2l-wolfe-pyramid/photo:steps")
in_core("the last picture of a coarse level is evaluated", DESCENT, 'if self.part.finish and "end" not in self.state:',
        'if "end" not in self.state:', "run/d2l-wolfe-pyramid/photo:coarse images")

# Core: several style images

STYLES, ALL_STYLES = "transfer/styles", "styles/{recipe}/odd:style/*"
OF_OTHERS = "engine.targets(recipe, image, image).style for image"
in_core("weights of style images without a sum of 1", STYLES, "weight / sum(weights)", "weight", ALL_STYLES)
in_core("all style images weigh the same", STYLES, "weight / sum(weights)", "1 / len(weights)", ALL_STYLES)
in_core("only the first style image counts", STYLES, "if not others:", "if True:", ALL_STYLES)
in_core("the first style image counts for all", STYLES, OF_OTHERS, "targets.style for image", ALL_STYLES)
in_core("content for other style images", STYLES, OF_OTHERS, OF_OTHERS.replace("image, image", "content, content"), ALL_STYLES)
in_core("style images averaged in half precision", STYLES, "np.float64", "np.float16", ALL_STYLES)

# Core: tiles. The total of the table is that of a whole picture.

in_core("halo of a tile too small by a step of the grid", "tiles", "return -(-radius_of(network, taps) // grid) * grid",
        "return -(-radius_of(network, taps) // grid) * grid - grid", "targets/shallow/photo/tile-16:style/conv3_2",
        "gradient/shallow/odd/tile-8:total", "gradient/d2l/wide/tile-64:total")
in_core("receptive field counted without its halvings", "tiles", "KERNEL // 2 * POOL**layer.halvings", "KERNEL // 2",
        "gradient/shallow/odd/tile-8:total", "gradient/d2l/wide/tile-64:total")
in_core("windows off the grid of the pools", "tiles", "edges = [grid * (cells * i // count) for i in range(count + 1)]",
        "edges = [grid * cells * i // count for i in range(count + 1)]", "gradient/shallow/odd/tile-8:total",
        "targets/shallow/odd/tile-10:content/*", "gradient/d2l/wide/tile-64:total")
in_core("the last window ends on the grid", "tiles", "length if place == edges[-1] else place for", "place for",
        "terms/shallow/odd/tile-8:style/conv1_1", "gradient/shallow/odd/tile-8:total")
in_core("Gram matrix over a tile's pixels", "tiles", 'engine.gram(engine.within(window, tap, maps[tap]), "1")',
        'engine.gram(engine.within(window, tap, maps[tap]), "hw")', "terms/shallow/odd/tile-8:style/*",
        "targets/shallow/odd/tile-8:style/*")
in_core("pixels of overlapping crops counted twice", "tiles", "        if not window.has_halo:\n", "        if True:\n",
        "targets/shallow/odd/tile-8:style/*", "terms/shallow/odd/tile-8:*/*1", "gradient/shallow/odd/tile-8:total")
in_core("the last window's products are lost", "tiles",
        "        products.add(engine, last, maps, recipe.style_layers)\n",
        "        products.add(engine, last, maps, recipe.style_layers if not others else ())\n",
        "terms/shallow/odd/tile-8:style/*", "gradient/shallow/odd/tile-8:style")
in_core("content targets of the window for those of its crop", "tiles",
        "self.targets.content[tap][window.crop_of(engine.network.layer(tap).halvings)]",
        "np.roll(self.targets.content[tap], 1, 3)[window.crop_of(engine.network.layer(tap).halvings)]",
        "terms/shallow/odd/tile-8:content/conv3_2", "gradient/shallow/odd/tile-8:content")
in_core("content maps of tiles put a pixel too far", "tiles", "= array[window.core_of(halvings)]",
        "= np.roll(array, 1, 3)[window.core_of(halvings)]", "targets/shallow/odd/tile-8:content/conv3_2")
in_core("overlapping gradients replace each other", "tiles", "gradient[window.crop] += ", "gradient[window.crop] = ",
        "gradient/shallow/odd/tile-8:total", "gradient/d2l/wide/tile-64:total")
in_core("half of the style gradient in tiles", "tiles", "4 * scale * weight / divisor", "2 * scale * weight / divisor",
        "gradient/shallow/odd/tile-8:style", "gradient/shallow/photo/tile-64:style")
in_core("half of the content gradient in tiles", "tiles", "difference * (2 * scale * weight)", "difference * (scale * weight)",
        "gradient/shallow/odd/tile-8:content")
in_core("a tap's second cotangent replaces its first", "tiles",
        "cotangents[tap] + cotangent if tap in cotangents else cotangent", "cotangent", "gradient/shallow/odd/tile-8:total")
in_core("terms without gradient have one in tiles", "tiles", 'if has_gradient["content"] and cotangent', "if cotangent",
        "gradient/shallow-held/noise/tile-16:total")
in_core("total variation without gradient has one in tiles", "tiles", 'recipe.tv_weight * has_gradient["tv"]',
        "recipe.tv_weight", "gradient/shallow-held/noise/tile-16:total")
in_core("a seam in total variation", "tiles", "rows = image[:, :, top : top + STRIP + 1]",
        "rows = image[:, :, top : top + STRIP]", "terms/d2l/wide/tile-64:tv", "gradient/d2l/wide/tile-64:tv")
in_core("style scaled by the tile's size", "tiles", "divisor_of(self.map_shape(style.shape, tap), recipe.gram_divisor)",
        "divisor_of(self.map_shape((1, 3, self.tile, self.tile), tap), recipe.gram_divisor)",
        "targets/shallow/odd/tile-8:style/*")

# Tiles of style networks

in_core("the spread between tiles is no variance", STYLE_TILES,
        "row @ row + apart**2 * self.count * size / (self.count + size)", "row @ row", "transform/21x18/tile-8:image")
in_core("tiles weigh alike, whatever their sizes", STYLE_TILES, "apart * size / (self.count + size)",
        "apart / (1 + self.count // size)", "transform/20x19/tile-5:image")
in_core("the first border repeated, and not reflected", STYLE_TILES,
        "np.abs(np.arange(first, last + 1, dtype=np.intp))", "np.maximum(np.arange(first, last + 1, dtype=np.intp), 0)",
        "transform/21x18/tile-8:image")
in_core("the last border repeated, and not reflected", STYLE_TILES, "2 * (length - 1) - places, dtype",
        "length - 1, dtype", "transform/21x18/tile-8:image")
in_core("reflected at the tile's border", STYLE_TILES, "last = (outputs.stop - 1) * stage.stride + stage.padding\n",
        "last = (outputs.stop - 1) * stage.stride + stage.padding\n    length = min(length, last)\n",
        "transform/21x18/tile-8:image")
in_core("repeated pixels one too far", STYLE_TILES, "places //= 2  #", "places = (places - 1).clip(0) // 2  #",
        "transform/21x18/tile-8:image")
in_core("variance over one value less in tiles", STYLE_TILES, "self.squares / self.count",
        "self.squares / (self.count - 1)", "transform/21x18/tile-8:image")
in_core("a residual block in tiles forgets what it was given", STYLE_TILES,
        "None if added is None else added(slice(None), slice(None))", "None", "transform/21x18/tile-8:image")
in_core("a map on the way down is not added in tiles", STYLE_TILES, "None if added is None else added(rows, columns)",
        "None", "transform/narrow/tile-7:image")
in_core("the picture is not added in tiles", STYLE_TILES,
        "piece if stage.adds is None else piece + kept[stage.adds](rows, columns)", "piece", "transform/narrow/tile-7:image")
in_core("a map's first tile is added everywhere", STYLE_TILES, "added(rows, columns))",
        "added(slice(rows.stop - rows.start), slice(columns.stop - columns.start)))", "transform/narrow/tile-7:image")

in_core("maps computed again are not normalized", STYLE_TILES,
        "finish(convolution(rows, columns), None if added is None else added(rows, columns))",
        "convolution(rows, columns)", "transform/21x18/tile-8:image")
in_core("the shift of instance normalization dropped in tiles", STYLE_TILES, "if self.shift is not None:", "if False:",
        "transform/johnson/tile-6:image")


# The ONNX graph of a style network

def in_graphs(name: str, old: str, new: str, *caught_by: str) -> None:
    in_core(f"an ONNX graph {name}", "transform_graph", old, new, *caught_by)


WHOLE, EVEN = "transform/21x18:image", "transform/20x16:image"
in_graphs("repeats the border", 'stage.padding, "reflect"', 'stage.padding, "edge"', WHOLE)
in_graphs("reflects the border of an enlarged map", '1, "edge"', '1, "reflect"', EVEN)
in_graphs("turns folded kernels", "->ostiab", "->otsiab", EVEN)
in_graphs("mixes rows and columns of four pixels", "kernels[:, down, across, :,", "kernels[:, across, down, :,", WHOLE)
in_graphs("gives four pixels each other's biases", "np.repeat(bias, 4)", "np.tile(bias, 4)", WHOLE, "stages:out")
in_graphs("pads four pixels in front", "[0, 0, beyond, beyond]\n", "[beyond, beyond, 0, 0]\n", WHOLE, "stages:out")
in_graphs("has another epsilon, that of Keras", "epsilon=EPSILON", "epsilon=1e-3", WHOLE)
in_graphs("drops shifts", 'parameters.get(f"{name}.shift", np.zeros_like(scale))', "np.zeros_like(scale)", WHOLE)
in_graphs("adds a block to itself", "[x, made[stage.adds]]", "[x, x]", WHOLE)
in_graphs("ends each block with a ReLU", "if stage.relu else x", "if stage.norm else x", WHOLE)
in_graphs("enlarges between pixels", '"asymmetric"', '"half_pixel"', WHOLE)
in_graphs("restores another size", "given[stage.restores]]", "x]", WHOLE)
in_graphs("turns its kernels in float64", "[down, across])\n", "[across, down])\n", "stages:down1")
in_graphs("forgets epsilon in float64", 'self.node("Sqrt", [above]', 'self.node("Sqrt", [variance]', WHOLE)
in_graphs("does not center in float64", 'self.node("Mul", [centered, centered]', 'self.node("Mul", [x, x]', WHOLE)
