"""ONNX models: what onnxruntime makes of them is what each backend computes."""

import numpy as np
import pytest
from style_files import RESIDUAL, SMALL, random_style, write_style
from test_cli import isostyle

from isostyle.images import arrays, decode
from isostyle.network import RGB_MEAN, RGB_STD
from isostyle.style_networks import export
from isostyle.transform_network import NARROW

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

#: Of outputs in 0..1, absolute: float32 throughout, but each runtime adds up in an order of its own. Seen: 2e-6, and 9e-6 at
#: 801x1003.
FLOAT = 2e-5
#: An output near the middle between two of 256 values may be rounded to either.
EQUAL_SHARE = 0.99


def session_of(style):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(export.onnx_bytes(style), options, providers=["CPUExecutionProvider"])


def picture(size, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize("network", [SMALL, NARROW, RESIDUAL], ids=["small", "narrow", "residual"])
@pytest.mark.parametrize("size", [(5, 5), (37, 50), (64, 48), (71, 93)], ids=str)
def test_onnxruntime_computes_what_each_backend_computes(style_backend, network, size):
    style = random_style(network)
    pixels = picture(size)
    rgb = (pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    (found,) = session_of(style).run(None, {"image": rgb})
    transform = style_backend.transform(network, device="cpu", dtype="float32")
    parameters = {name: transform.tensor(array) for name, array in style.painting().items()}
    given = arrays.to_array(decode.read_rgb(pixels), "float32")
    made = transform.array(transform.apply(parameters, transform.tensor(given)))
    expected = unnormalized(made)
    assert found.shape == rgb.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.clip(0, 1), rtol=0, atol=FLOAT)
    eight = np.rint(found[0].transpose(1, 2, 0) * 255).astype(int)
    ours = np.asarray(arrays.to_picture(made)).astype(int)
    assert np.abs(eight - ours).max() <= 1
    assert (eight == ours).mean() >= EQUAL_SHARE


@pytest.mark.parametrize("network", [SMALL, NARROW, RESIDUAL], ids=["small", "narrow", "residual"])
@pytest.mark.parametrize("size", [(5, 5), (37, 50)], ids=str)
def test_each_picture_of_a_batch_is_painted_as_it_is_alone(network, size):
    """However unlike the others it is: statistics are a picture's own."""
    run = session_of(random_style(network)).run
    noise = np.random.RandomState(0).rand(3, 3, *size).astype(np.float32)
    batch = noise * np.float32([[[[0.1]]], [[[1]]], [[[0.4]]]]) + np.float32([[[[0]]], [[[0]]], [[[0.6]]]])
    (found,) = run(None, {"image": batch})
    alone = [run(None, {"image": batch[place : place + 1]})[0] for place in range(3)]
    assert found.shape == batch.shape
    # Seen: 0, with onnxruntime 1.32.
    np.testing.assert_allclose(found, np.concatenate(alone), rtol=0, atol=FLOAT)


def test_a_batch_is_what_each_backend_computes_of_each_picture(style_backend):
    style = random_style()
    transform = style_backend.transform(style.network, device="cpu", dtype="float32")
    parameters = {name: transform.tensor(array) for name, array in style.painting().items()}
    pixels = [picture((37, 50), seed) // (1 + seed) for seed in range(3)]
    given = [transform.tensor(arrays.to_array(decode.read_rgb(each), "float32")) for each in pixels]
    expected = [unnormalized(transform.array(transform.apply(parameters, each))).clip(0, 1) for each in given]
    rgb = (np.stack(pixels).transpose(0, 3, 1, 2) / 255).astype(np.float32)
    (found,) = session_of(style).run(None, {"image": rgb})
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=FLOAT)


def unnormalized(image):
    mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (RGB_MEAN, RGB_STD))
    return image * std + mean


def test_the_model_says_what_it_takes_and_where_it_comes_from():
    style = random_style()
    model = onnx.load_from_string(export.onnx_bytes(style))
    onnx.checker.check_model(model, full_check=True)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["parameters_sha256"] == style.digest
    assert about["style"] == "random"
    assert "RGB in 0..1" in model.doc_string
    (taken,), (made,) = model.graph.input, model.graph.output
    for value, name in ((taken, "image"), (made, "painted")):
        sides = value.type.tensor_type.shape.dim
        assert value.name == name
        assert [side.dim_value or side.dim_param for side in sides] == ["batch", 3, "height", "width"]


def test_the_same_network_gives_the_same_bytes():
    assert export.onnx_bytes(random_style()) == export.onnx_bytes(random_style())


def test_outputs_are_clipped():
    style = random_style()
    style.parameters["out.bias"][:] = [100, -100, 0]
    (found,) = session_of(style).run(None, {"image": np.zeros((1, 3, 16, 16), np.float32)})
    assert (found[0, 0] == 1).all()
    assert (found[0, 1] == 0).all()


def test_export_writes_a_model_without_any_framework(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_style(tmp_path / "wave.safetensors")
    assert isostyle("export", "wave.safetensors") == 0
    assert capsys.readouterr().out.startswith("wrote wave.onnx: ")
    assert (tmp_path / "wave.onnx").read_bytes() == export.onnx_bytes(random_style(styles=["wave"]))
    assert isostyle("export", "wave.safetensors") == 2
    assert "exists already" in capsys.readouterr().err
    assert isostyle("export", "wave.safetensors", "--force", "--quiet") == 0


@pytest.mark.parametrize("styles", [("one",), ("one", "two")], ids=len)
def test_the_package_onnx_reads_a_model_and_writes_the_same_bytes(styles):
    data = export.onnx_bytes(random_style(styles=styles))
    assert onnx.load_from_string(data).SerializeToString(deterministic=True) == data


def test_export_takes_no_other_suffix(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_style(tmp_path / "wave.safetensors")
    assert isostyle("export", "wave.safetensors", "-o", "wave.pb") == 2
    assert "does not end in .onnx" in capsys.readouterr().err
