"""Neural style transfer in float64 NumPy, with hand-derived gradients: what the backends are held to in these tests.

It takes the network's table and the formulas of isostyle.losses from core, and convolution, ReLU and max-pooling, forward and
backward, from no framework. test_reference.py checks it by values worked out by hand and by central differences.
"""

from __future__ import annotations

import numpy as np

from isostyle import losses
from isostyle.interface import Targets


def convolve(x, weight, bias):
    """Cross-correlation with a 3x3 kernel, zero padding 1: (1, C, H, W) -> (1, D, H, W)."""
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("chwij,dcij->dhw", windows, weight, optimize=True)[None] + bias[None, :, None, None]


def convolve_backward(slope, weight):
    """The transpose: the kernel turned by 180 degrees, input and output channels exchanged."""
    turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return convolve(slope, turned, np.zeros(len(turned)))


def pool(x):
    """2x2 maximum with stride 2; an odd last row or column is dropped."""
    return corners(x).max(axis=0)


def pool_backward(slope, x):
    """The first maximum of each window, row by row, gets the whole slope."""
    first = corners(x).argmax(axis=0)
    result = np.zeros_like(x)
    for number, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        height, width = slope.shape[2:]
        result[:, :, row : row + 2 * height : 2, column : column + 2 * width : 2] = slope * (first == number)
    return result


def corners(x):
    """The four pixels of every 2x2 window, stacked: (4, 1, C, H // 2, W // 2)."""
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    return np.stack([x[:, :, row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)])


class Reference:
    def __init__(self, network, parameters):
        self.network = network
        self.parameters = {name: array.astype(np.float64) for name, array in parameters.items()}

    def maps(self, image, taps):
        """Every layer's map up to the deepest tap, by name, in order; ``image`` itself under the name ``image``."""
        found = {"image": image.astype(np.float64)}
        for layer in self.network.cut(taps):
            x = found[list(found)[-1]]
            if layer.kind == "conv":
                x = convolve(x, self.parameters[f"{layer.name}.weight"], self.parameters[f"{layer.name}.bias"])
            else:
                x = np.maximum(x, 0) if layer.kind == "relu" else pool(x)
            found[layer.name] = x
        return found

    def targets(self, recipe, content, style):
        contents, styles = self.maps(content, recipe.taps), self.maps(style, recipe.taps)
        return Targets(
            content={tap: contents[tap] for tap, _ in recipe.content_taps},
            style={tap: losses.gram(styles[tap], recipe.gram_divisor) for tap, _ in recipe.style_taps},
        )

    def evaluate(self, recipe, targets, image):
        """Weighted terms by name, and the gradient of their sum."""
        maps = self.maps(image, recipe.taps)
        terms = {}
        slopes = {name: np.zeros_like(x) for name, x in maps.items()}
        for tap, weight in recipe.content_taps:
            weight *= recipe.content_weight
            terms[f"content/{tap}"] = weight * losses.content_loss(maps[tap], targets.content[tap])
            slopes[tap] += weight * losses.content_loss_gradient(maps[tap], targets.content[tap])
        for tap, weight in recipe.style_taps:
            weight *= recipe.style_weight
            terms[f"style/{tap}"] = weight * losses.style_loss(maps[tap], targets.style[tap], recipe.gram_divisor)
            slopes[tap] += weight * losses.style_loss_gradient(maps[tap], targets.style[tap], recipe.gram_divisor)
        terms["tv"] = recipe.tv_weight * losses.tv_loss(maps["image"])
        slopes["image"] += recipe.tv_weight * losses.tv_loss_gradient(maps["image"])
        terms["total"] = sum(terms.values())
        names = list(maps)
        for before, layer in reversed(list(zip(names, self.network.cut(recipe.taps), strict=False))):
            slope = slopes[layer.name]
            if layer.kind == "conv":
                slope = convolve_backward(slope, self.parameters[f"{layer.name}.weight"])
            else:
                slope = slope * (maps[before] > 0) if layer.kind == "relu" else pool_backward(slope, maps[before])
            slopes[before] += slope
        return terms, slopes["image"]

    def descend(self, recipe, targets, image, steps):
        """The image after ``steps`` steps of Adam with step decay, written out once more (Kingma and Ba 2015, algorithm 1)."""
        settings = recipe.optimiser
        m, v = np.zeros_like(image), np.zeros_like(image)
        for t in range(1, steps + 1):
            _, g = self.evaluate(recipe, targets, image)
            m = settings.beta1 * m + (1 - settings.beta1) * g
            v = settings.beta2 * v + (1 - settings.beta2) * g**2
            m_hat, v_hat = m / (1 - settings.beta1**t), v / (1 - settings.beta2**t)
            rate = settings.learning_rate * recipe.schedule.factor ** ((t - 1) // recipe.schedule.every)
            image = image - rate * m_hat / (np.sqrt(v_hat) + settings.epsilon)
        return image
