"""Mistakes that porters really make, each one line, and the case that must catch it.

A defect is planted in a copy of the real sources: in one backend's file (the same mistake in each framework's words), or in
core. test_teeth.py plants them all and demands that the named points fail, and not only something somewhere; scripts/teeth.py
makes the table in docs/teeth.md. An edit that no longer applies is an error: then the table lies.

``caught_by`` are patterns ``CASE:POINT``; ``{recipe}`` stands for each registered recipe, every one of which has to notice.
"""

# A table is read across: the formatter would put each word on a line of its own.
# fmt: off

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FRAMEWORKS = ("torch", "mxnet", "paddle")
Edit = tuple[str, str]


@dataclass(frozen=True)
class Defect:
    name: str
    #: By file, relative to the repository: the text as it is, and as it is made to be.
    edits: Mapping[str, Edit]
    caught_by: Sequence[str]
    #: Recipes that {recipe} stands for; empty: all.
    recipes: Sequence[str] = ()

    @property
    def in_total(self) -> bool:
        """Whether the total that a backend reports passes through it. It does not through pictures (scenes are tensors), L-BFGS
        (the short run uses Adam), the zoo, or the formulas that the oracle executes."""
        elsewhere = ("normalise", "denormalise", "round-trip", "resize", "lbfgs", "zoo")
        kinds = {pattern.partition("/")[0].partition(":")[0] for pattern in self.caught_by}
        return "core/losses.py" not in self.edits and not kinds <= set(elsewhere)

    def edit(self, backend: str) -> tuple[str, str, str] | None:
        """(file, old, new) for a run with ``backend``; None if the mistake cannot be made in it."""
        for file in (f"backends/{backend}_backend.py", *(file for file in self.edits if file.startswith("core/"))):
            if file in self.edits:
                return (file, *self.edits[file])
        return None


DEFECTS: list[Defect] = []


def in_backends(
    name: str,
    *caught_by: str,
    torch: Edit | None = None,
    mxnet: Edit | None = None,
    paddle: Edit | None = None,
    all: Edit | None = None,
    recipes: Sequence[str] = (),
) -> None:
    """A mistake in each backend that has an edit; ``all`` if its words are the same in the three."""
    texts = dict(zip(FRAMEWORKS, (torch or all, mxnet or all, paddle or all), strict=True))
    edits = {f"backends/{backend}_backend.py": edit for backend, edit in texts.items() if edit}
    DEFECTS.append(Defect(name, edits, caught_by, recipes))


def in_core(name: str, file: str, old: str, new: str, *caught_by: str, recipes: Sequence[str] = ()) -> None:
    DEFECTS.append(Defect(name, {f"core/{file}.py": (old, new)}, caught_by, recipes))


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
    edit = "F.conv2d(x, weight, bias, padding=PADDING)", f"F.conv2d({text})"
    return {"torch": edit, "paddle": edit}


MX_CONVOLUTION = "npx.convolution(x, weight, bias, kernel=kernel, pad=pad, "
POOLING = {
    "torch": "F.max_pool2d(x, POOL)", "paddle": "F.max_pool2d(x, POOL, POOL)",
    "mxnet": 'npx.pooling(x, kernel=(POOL, POOL), stride=(POOL, POOL), pool_type="max")',
}


def pools(torch: str, mxnet: str, paddle: str) -> dict[str, Edit]:
    texts = zip(FRAMEWORKS, (torch, mxnet, paddle), strict=True)
    return {backend: (POOLING[backend], text) for backend, text in texts}


in_backends("weights in half precision", "features/photo:conv1_1", "gradient/{recipe}/photo:total",
            all=("self.tensor(array) for name, array in", 'self.tensor(array.astype("float16")) for name, array in'))
in_backends("in-place ReLU", "features/photo:conv1_1", **activates("x = F.relu_(x)", "x[:] = npx.relu(x)", "x = F.relu_(x)"))
in_backends(
    "every tap after a ReLU", "features/photo:conv1_1", "terms/{recipe}/photo:style/*", "targets/{recipe}/photo:style/*",
    torch=tapped("F.relu(x)"), mxnet=tapped("npx.relu(x)"), paddle=tapped("F.relu(x)"),
)
in_backends("absolute value for ReLU", "features/photo:relu1_1", **activates("x = x.abs()", "x = np.abs(x)", "x = x.abs()"))
in_backends(
    "leaky ReLU", "features/photo:relu1_1", "gradient/{recipe}/photo:total",
    **activates("x = F.leaky_relu(x)", 'x = npx.leaky_relu(x, act_type="leaky", slope=0.01)', "x = F.leaky_relu(x)"),
)
in_backends(
    "activations in half precision", "features/photo:relu1_1", "terms/{recipe}/photo:style/*",
    **activates(
        "x = F.relu(x).half().to(x.dtype)", 'x = npx.relu(x).astype("float16").astype(x.dtype)',
        'x = F.relu(x).astype("float16").astype(x.dtype)',
    ),
)
in_backends(
    "average pooling", "features/photo:pool1", "gradient/{recipe}/photo:content",
    **pools(
        "F.avg_pool2d(x, POOL)", 'npx.pooling(x, kernel=(POOL, POOL), stride=(POOL, POOL), pool_type="avg")',
        "F.avg_pool2d(x, POOL, POOL)",
    ),
)
in_backends(
    "ceil-mode pooling", "features/odd:pool1", "terms/{recipe}/odd:style/*",
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
    **convolves("x, weight, padding=PADDING"), mxnet=(MX_CONVOLUTION, MX_CONVOLUTION.replace("bias", "bias * 0")),
)
in_backends(
    "kernels turned by 180 degrees", "features/photo:conv1_1",
    torch=convolves("x, weight.flip(2, 3), bias, padding=PADDING")["torch"],
    paddle=convolves("x, weight.flip([2, 3]), bias, padding=PADDING")["paddle"],
    mxnet=(MX_CONVOLUTION, MX_CONVOLUTION.replace("weight", "np.flip(weight, (2, 3))")),
)
in_backends(
    "kernels transposed, as (width, height)", "features/photo:conv1_1",
    torch=convolves("x, weight.transpose(2, 3), bias, padding=PADDING")["torch"],
    paddle=convolves("x, weight.transpose([0, 1, 3, 2]), bias, padding=PADDING")["paddle"],
    mxnet=(MX_CONVOLUTION, MX_CONVOLUTION.replace("weight", "weight.transpose(0, 1, 3, 2)")),
)

in_backends("activations cut off at 100", "features/loud:relu1_1",
            **activates("x = F.relu(x).clip(max=100)", "x = np.minimum(npx.relu(x), 100)", "x = F.relu(x).clip(max=100)"))
in_backends("upright pictures are taken for wide ones", "features/loud:conv1_1",
            all=(IMAGE, "        x = image if image.shape[2] <= image.shape[3] else image * 1.01\n"))


def kept(engine: str) -> Edit:
    made = f"{engine}(network, parameters, device, dtype)"
    return f"return {made}", f"return self.__dict__.setdefault((network, dtype), {made})"


in_backends("an engine is kept for its network's name, whatever its weights", "features/photo@negated",
            torch=kept("TorchEngine"), mxnet=kept("MxnetEngine"), paddle=kept("PaddleEngine"))
in_backends("no gradient from behind conv5_1", "gradient/post-relu/photo:style",
            all=("            if layer.kind == \"conv\":",
                 "            x = x.detach() if layer.index > 28 else x\n            if layer.kind == \"conv\":"))
in_backends(
    "half a slope where a deep ReLU's input is 0", "gradient/exact/*:*",
    torch=("x = F.relu(x)", "x = torch.maximum(x, torch.zeros_like(x)) if layer.halvings else F.relu(x)"),
)

# Gram matrices

CHW = '"chw": channels * height * width'
in_backends("Gram matrix over HW", "gram/chw:*", "targets/{recipe}/photo:style/*", all=(CHW, '"chw": height * width'))
in_backends("Gram matrix over C", "gram/chw:*", "targets/{recipe}/photo:style/*", all=(CHW, '"chw": channels'))
in_backends("Gram matrix over CHW where HW is asked for", "gram/hw:*",
            all=('"hw": height * width', '"hw": channels * height * width'))
in_backends("Gram matrix over HW in 16 bits", "terms/first-layer-hw/large:style/*",
            all=('"hw": height * width', '"hw": (height * width) & 0xFFFF'))
in_backends("Gram matrix over N where nothing is asked for", "gram/1:*", all=('"1": 1}', '"1": height * width}'))
in_backends(
    "Gram matrix of centred features", "gram/chw:*", "terms/{recipe}/photo:style/*",
    torch=("feature.reshape(channels, height * width)", "(feature - feature.mean()).reshape(channels, height * width)"),
    mxnet=("feature.reshape(channels, height * width)", "(feature - feature.mean()).reshape(channels, height * width)"),
    paddle=("feature.reshape([channels, height * width])", "(feature - feature.mean()).reshape([channels, height * width])"),
)
in_backends(
    "a map flattened as if channels came last", "gram/chw:*",
    torch=("feature.reshape(channels, height * width)", "feature.reshape(height * width, channels).T"),
    mxnet=("feature.reshape(channels, height * width)", "feature.reshape(height * width, channels).T"),
    paddle=("feature.reshape([channels, height * width])", "feature.reshape([height * width, channels]).T"),
)
in_backends(
    "Gram matrix in float32", "gram/chw:*",
    torch=("return matrix @ matrix.T /", "return (matrix.float() @ matrix.float().T).to(matrix.dtype) /"),
    mxnet=("return np.dot(matrix, matrix.T) /",
           'return np.dot(matrix.astype("float32"), matrix.astype("float32").T).astype(matrix.dtype) /'),
    paddle=("return paddle.matmul(matrix, matrix.T) /",
            'return paddle.matmul(matrix.astype("float32"), matrix.astype("float32").T).astype(matrix.dtype) /'),
)

# Losses

CONTENT = {
    "torch": "torch.square(feature - target).mean()", "mxnet": "np.square(feature - target).mean()",
    "paddle": "mean(paddle.square(feature - target))",
}
STYLE = {
    "torch": "torch.square(gram(feature, divisor) - target).mean()",
    "mxnet": "np.square(gram(feature, divisor) - target).mean()",
    "paddle": "mean(paddle.square(gram(feature, divisor) - target))",
}
VARIATION = {
    "torch": "0.5 * (torch.abs(down).mean() + torch.abs(right).mean())",
    "mxnet": "0.5 * (np.abs(down).mean() + np.abs(right).mean())",
    "paddle": "0.5 * (mean(paddle.abs(down)) + mean(paddle.abs(right)))",
}


def becomes(texts: Mapping[str, str], torch: str, mxnet: str, paddle: str) -> dict[str, Edit]:
    return {backend: (texts[backend], text) for backend, text in zip(FRAMEWORKS, (torch, mxnet, paddle), strict=True)}


in_backends(
    "content loss summed", "terms/{recipe}/photo:content/*", "gradient/{recipe}/photo:content",
    **becomes(CONTENT, "torch.square(feature - target).sum()", "np.square(feature - target).sum()",
              "paddle.square(feature - target).sum()"),
)
in_backends(
    "content loss halved", "terms/{recipe}/photo:content/*", "gradient/{recipe}/photo:content",
    **{backend: (text, f"0.5 * {text}") for backend, text in CONTENT.items()},
)
in_backends(
    "content loss of absolute differences", "terms/{recipe}/photo:content/*",
    **becomes(CONTENT, "torch.abs(feature - target).mean()", "np.abs(feature - target).mean()",
              "mean(paddle.abs(feature - target))"),
)
in_backends(
    "style loss summed", "terms/{recipe}/photo:style/*", "gradient/{recipe}/photo:style",
    **becomes(STYLE, "torch.square(gram(feature, divisor) - target).sum()", "np.square(gram(feature, divisor) - target).sum()",
              "paddle.square(gram(feature, divisor) - target).sum()"),
)
in_backends(
    "style loss divided by four", "terms/{recipe}/photo:style/*", "gradient/{recipe}/photo:style",
    **{backend: (text, f"0.25 * {text}") for backend, text in STYLE.items()},
)
in_backends(
    "total variation lacks its half", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv",
    **{backend: (text, text.removeprefix("0.5 * ")) for backend, text in VARIATION.items()},
)
in_backends(
    "total variation squared", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv",
    **{backend: (text, text.replace(".abs(", ".square(")) for backend, text in VARIATION.items()},
)
in_backends(
    "total variation summed", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv",
    **becomes(VARIATION, "0.5 * (torch.abs(down).sum() + torch.abs(right).sum())",
              "0.5 * (np.abs(down).sum() + np.abs(right).sum())", "0.5 * (paddle.abs(down).sum() + paddle.abs(right).sum())"),
)
RIGHT = "right = image[:, :, :, 1:] - image[:, :, :, :-1]"
DOWN = "down = image[:, :, 1:, :] - image[:, :, :-1, :]"
in_backends("total variation lacks an axis", "terms/{recipe}/photo:tv", all=(RIGHT, "right = down"))
in_backends("total variation of every second pixel", "terms/{recipe}/photo:tv",
            all=(RIGHT, "right = image[:, :, :, 2:] - image[:, :, :, :-2]"))
in_backends("total variation lacks the last row", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv",
            all=(DOWN, "down = image[:, :, 1:-1, :] - image[:, :, :-2, :]"))
in_backends("total variation of the first two channels", "terms/{recipe}/photo:tv",
            all=(DOWN, "down = image[:, :2, 1:, :] - image[:, :2, :-1, :]"))
in_backends(
    "total variation as one mean over both axes", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv",
    **becomes(VARIATION, "torch.abs(torch.cat([down.flatten(), right.flatten()])).mean()",
              "np.abs(np.concatenate([down.reshape(-1), right.reshape(-1)])).mean()",
              "mean(paddle.abs(paddle.concat([down.flatten(), right.flatten()])))"),
)
in_backends(
    "total variation smoothed at its kinks", "terms/{recipe}/photo:tv", "gradient/{recipe}/photo:tv",
    **becomes(VARIATION, "0.5 * (torch.sqrt(down**2 + 1e-6).mean() + torch.sqrt(right**2 + 1e-6).mean())",
              "0.5 * (np.sqrt(down**2 + 1e-6).mean() + np.sqrt(right**2 + 1e-6).mean())",
              "0.5 * (mean(paddle.sqrt(down**2 + 1e-6)) + mean(paddle.sqrt(right**2 + 1e-6)))"),
)
in_backends("Paddle's own mean()", "terms/first-layer-chw/large:tv",
            paddle=("return x.sum() / x.size", "return x.mean()"))

# What is added up, and what has a gradient

in_backends("the tenfold lost", "terms/{recipe}/photo:style/*", "gradient/{recipe}/photo:style",
            all=("recipe.style_weight * weight * loss", "recipe.style_weight / 10 * weight * loss"))
in_backends("the tenfold doubled", "terms/{recipe}/photo:style/*",
            all=("recipe.style_weight * weight * loss", "recipe.style_weight * 10 * weight * loss"))
in_backends("weights of style taps ignored", "terms/{recipe}/photo:style/*", recipes=("painterly",),
            all=("recipe.style_weight * weight * loss", "recipe.style_weight * loss"))
in_backends("weights of content taps ignored", "terms/post-relu/photo:content/*",
            all=("recipe.content_weight * weight * loss", "recipe.content_weight * loss"))
in_backends("terms of weight 0 left out", "terms/post-relu/photo:tv",
            all=('terms["tv"] = recipe.tv_weight * tv_loss(image)',
                 'terms.update({"tv": recipe.tv_weight * tv_loss(image)} if recipe.tv_weight else {})'))
in_backends("total variation has the content weight", "terms/{recipe}/photo:tv",
            all=("recipe.tv_weight * tv_loss(image)", "recipe.content_weight * tv_loss(image)"))
in_backends("total lacks total variation", "terms/{recipe}/photo:total", "gradient/{recipe}/photo:total",
            all=("list(terms.values())).sum()", "list(terms.values())[:-1]).sum()"))
in_backends("total is a mean of terms", "terms/{recipe}/photo:total", "gradient/{recipe}/photo:total",
            all=("list(terms.values())).sum()", "list(terms.values())).mean()"))
in_backends("content term without gradient", "gradient/{recipe}/photo:content",
            all=("content_loss(feature[tap], ", "content_loss(feature[tap].detach(), "))
in_backends("detached Gram matrix", "gradient/{recipe}/photo:style",
            all=("style_loss(feature[tap], ", "style_loss(feature[tap].detach(), "))
in_backends("total variation without gradient", "gradient/{recipe}/photo:tv",
            all=("tv_loss(image)", "tv_loss(image.detach())"))
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
            all=("self.features(self.tensor(style)", "self.features(self.tensor(content)"))
in_backends("style targets with another divisor", "targets/{recipe}/photo:style/*", "terms/{recipe}/photo:style/*",
            all=("gram(feature, recipe.gram_divisor) for tap", 'gram(feature, "hw") for tap'))
in_backends("MXNet records in predict mode", "gradient/{recipe}/photo:content",
            mxnet=("with autograd.record():", "with autograd.record(train_mode=False):"))

# Core: recipes

in_core("the recipe loses its tenfold", "recipe", "style_weight=1e4", "style_weight=1e3", "recipe/{recipe}:style_weight")
in_core("content tap one convolution early", "recipe", '("conv4_4", 1.0)', '("conv4_3", 1.0)',
        "recipe/{recipe}:content_taps/*")
in_core("a style tap one convolution late", "recipe",
        '("conv3_1", 1.0), ("conv4_1", 1.0)', '("conv3_2", 1.0), ("conv4_1", 1.0)',
        "recipe/{recipe}:style_taps/*", recipes=("d2l", "isostyle"))
in_core("the MXNet tab's learning rate", "recipe", "optimiser=AdamSettings(learning_rate=0.3)",
        "optimiser=AdamSettings(learning_rate=0.9)", "recipe/{recipe}:optimiser/learning_rate")
in_core("beta2 of 0.99", "recipe", "beta2: float = 0.999", "beta2: float = 0.99", "recipe/{recipe}:optimiser/beta2")
in_core("epsilon of 1e-7, as in Keras", "recipe", "epsilon: float = 1e-8", "epsilon: float = 1e-7",
        "recipe/{recipe}:optimiser/epsilon")
in_core("ten times too much total variation", "recipe", "    tv_weight=10.0", "    tv_weight=100.0",
        "recipe/{recipe}:tv_weight", recipes=("d2l", "isostyle"))
in_core("decay one step early", "recipe", "step // self.every", "(step + 1) // self.every",
        "schedule/{recipe}:rates", "run/{recipe}/photo:rates")
in_core("decay one step late", "recipe", "step // self.every", "(step - 1) // self.every",
        "schedule/{recipe}:rates", "run/{recipe}/photo:rates")
in_core("decay not compounding", "recipe", "self.factor ** (step // self.every)", "(self.factor if step >= self.every else 1)",
        "schedule/{recipe}:rates", "run/{recipe}/photo:image")
in_core("decay a little at every step", "recipe", "step // self.every", "step / self.every",
        "schedule/{recipe}:rates", "run/{recipe}/photo:rates")

# Core: Adam

ROOT = "root = moment2**0.5 / (1 - beta2**step) ** 0.5"
in_core("epsilon-hat Adam", "optim", "(root + self.settings.epsilon)",
        "(root + self.settings.epsilon / (1 - beta2**step) ** 0.5)", "adam/{recipe}/1e-6:image")
in_core("epsilon inside the root", "optim", ROOT, "root = (moment2 / (1 - beta2**step) + self.settings.epsilon) ** 0.5",
        "adam/{recipe}/1e-3:image")
in_core("beta2 in float32", "optim", "beta1, beta2 = self.settings.beta1, self.settings.beta2",
        "beta1, beta2 = self.settings.beta1, 0.9990000128746033", "adam/{recipe}/1:image")
in_core("beta1 in float32", "optim", "beta1, beta2 = self.settings.beta1, self.settings.beta2",
        "beta1, beta2 = 0.8999999761581421, self.settings.beta2", "adam/{recipe}/1:image")
in_core("first moment not corrected", "optim", "rate = self.learning_rate(state) / (1 - beta1**step)",
        "rate = self.learning_rate(state)", "adam/{recipe}/1:image", "step/{recipe}/photo:image")
in_core("second moment not corrected", "optim", ROOT, "root = moment2**0.5", "adam/{recipe}/1:image",
        "step/{recipe}/photo:image")
in_core("corrections one step late", "optim", "(1 - beta1**step)", "(1 - beta1 ** (step + 1))", "adam/{recipe}/1:image")
in_core("corrections counted from zero", "optim", 'step = state["step"] + 1', 'step = state["step"]', "adam/{recipe}/1")
in_core("second moment of absolute values", "optim", "gradient * gradient * (1 - beta2)", "abs(gradient) * (1 - beta2)",
        "adam/{recipe}/1e-3:image")
in_core("beta1 and 1 - beta1 exchanged", "optim", 'state["moment1"] * beta1 + gradient * (1 - beta1)',
        'state["moment1"] * (1 - beta1) + gradient * beta1', "adam/{recipe}/1:image")
in_core("corrections end at step 10", "optim", "(1 - beta1**step)", "(1 - beta1**step if step <= 10 else 1)",
        "adam/{recipe}/1:image")
in_core("a step uphill", "optim", '"image": image - moment1', '"image": image + moment1',
        "adam/{recipe}/1:image")

# Core: L-BFGS

in_core("L-BFGS with a history of 10", "optim", "[-self.settings.history :]", "[-10:]", "lbfgs/{recipe}/photo:image")
in_core("L-BFGS with a whole first step", "optim", "min(1.0, 1 / float(abs(gradient).sum()))", "1.0",
        "lbfgs/{recipe}/photo:*")
in_core("L-BFGS without its initial scale", "optim", "direction = direction * scale", "direction = direction * 1.0",
        "lbfgs/{recipe}/photo:*")
in_core("L-BFGS with its second loop backwards", "optim", "in zip(pairs, reversed(shares), strict=True)",
        "in zip(pairs, shares, strict=True)", "lbfgs/{recipe}/photo:*")
in_core("L-BFGS scales by the wrong quotient", "optim", "scale = curvature / dot(change, change)",
        'scale = dot(state["move"], state["move"]) / curvature', "lbfgs/{recipe}/photo:image")

# Core: pictures

in_core("mean and deviation exchanged", "images", "- np.array(RGB_MEAN)) / np.array(RGB_STD)",
        "- np.array(RGB_STD)) / np.array(RGB_MEAN)", "normalise:photo")
in_core(
    "mean and deviation on the wrong scale", "images", "dtype=np.float64) / 255\n", "dtype=np.float64)\n", "normalise:photo"
)
in_core("256 for 255", "images", "dtype=np.float64) / 255\n", "dtype=np.float64) / 256\n", "normalise:photo")
in_core("mean in the order B, G, R", "network", "RGB_MEAN = (0.485, 0.456, 0.406)", "RGB_MEAN = (0.406, 0.456, 0.485)",
        "normalise:photo", "denormalise:outside")
in_core("a digit of the deviation", "network", "RGB_STD = (0.229, 0.224, 0.225)", "RGB_STD = (0.229, 0.224, 0.226)",
        "normalise:photo")
in_core("picture height and width transposed", "images", "normalised.transpose(2, 0, 1)[None]",
        "normalised.transpose(2, 1, 0)[None]", "normalise:photo")
in_core("truncation for rounding", "images", "np.rint(pixels.clip(0, 1) * 255)", "(pixels.clip(0, 1) * 255)",
        "denormalise:outside", "round-trip:photo")
in_core("clipping forgotten", "images", "np.rint(pixels.clip(0, 1) * 255)", "np.rint(pixels * 255)", "denormalise:outside")
in_core("clipped before it is denormalised", "images", ".astype(np.float64) * np.array(RGB_STD)",
        ".astype(np.float64).clip(0, 1) * np.array(RGB_STD)", "denormalise:outside")
in_core(
    "resized to the nearest pixel", "images", "Image.Resampling.BILINEAR)", "Image.Resampling.NEAREST)", "resize/half:photo"
)
in_core("resized with bicubic weights", "images", "Image.Resampling.BILINEAR)", "Image.Resampling.BICUBIC)", "resize/odd:photo")
in_core("resized without antialiasing", "images", "picture.resize((width, height), Image.Resampling.BILINEAR)",
        "picture.transform((width, height), Image.Transform.EXTENT, (0, 0, *picture.size), Image.Resampling.BILINEAR)",
        "resize/half:photo", "resize/odd:photo")
in_core("resized with exchanged axes", "images", "picture.resize((width, height)", "picture.resize((height, width)",
        "resize/odd:photo")

# Core: the network, the losses, the run

in_core("the layer of the deepest tap cut off", "network", "for tap in taps) + 1]", "for tap in taps)]", "features/photo")
in_core("VGG-16's depths for VGG-19", "network", 'Network("vgg19", VGG19_DEPTHS', 'Network("vgg19", VGG16_DEPTHS',
        "zoo/noise@vgg19*")
in_core("a pool of 3", "network", "POOL = 2\n", "POOL = 3\n", "features/photo")
in_core("specification: content loss summed", "losses", "np.square(feature - target).mean()",
        "np.square(feature - target).sum()", "terms/{recipe}/photo:content/*")
in_core("specification: half of the style gradient", "losses", "4 * difference @ matrix", "2 * difference @ matrix",
        "gradient/{recipe}/photo:style")
in_core("specification: gradient of total variation upside down", "losses", "slope[:, :, 1:, :] += down",
        "slope[:, :, 1:, :] -= down", "gradient/{recipe}/photo:tv")
in_core("the last picture is not evaluated", "run", '    evaluate(state["image"])\n', "", "run/{recipe}/photo:totals")
in_core("every picture of a run is the last one", "run",
        "lambda: engine.array(image))", 'lambda: engine.array(state["image"]))',
        "run/{recipe}/photo:images")
in_core("losses of one tap instead of all", "run", 'sums[name.split("/")[0]] += value', 'sums[name.split("/")[0]] = value',
        "run/{recipe}/photo:losses")
in_core("steps counted from one", "run", "found.append(Event(step, ", "found.append(Event(step + 1, ",
        "run/{recipe}/photo:steps")
