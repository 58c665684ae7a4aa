"""Files of a tiny network's weights as torch, MXNet and Paddle themselves write them, for tests where none is installed.

    python scripts/record_checkpoints.py tests/data/checkpoints

The network is `TINY` of tests/checkpoint_files.py with `random_parameters(TINY)`.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

import mxnet
import numpy as np
import paddle
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from checkpoint_files import TINY, gluon_names, numbered, random_parameters


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    parameters = random_parameters(TINY)
    tensors = numbered(TINY, parameters)
    state = OrderedDict((name, torch.from_numpy(array)) for name, array in tensors.items())
    torch.save(state, folder / "torch-zip.pth")
    torch.save(state, folder / "torch-legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": state, "epoch": 3}, folder / "torch-nested.pth")
    torch.save({name: torch.nn.Parameter(tensor) for name, tensor in state.items()}, folder / "torch-parameters.pth")
    torch.save({name: t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for name, t in state.items()},
               folder / "torch-channels-last.pth")  # fmt: skip
    arrays = {name: paddle.to_tensor(array) for name, array in tensors.items()}
    for protocol in (2, 4):
        paddle.save(arrays, str(folder / f"paddle-{protocol}.pdparams"), protocol=protocol)
    mxnet.nd.save(str(folder / "mxnet.params"), {name: mxnet.nd.array(array) for name, array in tensors.items()})
    old = {f"arg:{name}": mxnet.nd.array(array) for name, array in gluon_names(TINY, parameters).items()}
    mxnet.nd.save(str(folder / "mxnet-arg.params"), old)
    mxnet.npx.set_np()
    mxnet.npx.save(str(folder / "mxnet-np.params"), {name: mxnet.np.array(array) for name, array in tensors.items()})
    print(*sorted(f"{path.name} {path.stat().st_size}" for path in folder.iterdir()), sep="\n")
    print(f"torch {torch.__version__}, mxnet {mxnet.__version__}, paddle {paddle.__version__}, NumPy {np.__version__}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
