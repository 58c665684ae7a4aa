"""How `isostyle run` refuses and fails: one sentence on stderr, exit code 2 or 1, and nothing lost."""

import os

import pytest
from style_files import write_style
from test_cli import QUICK, isostyle, opened

from isostyle.images import encode
from isostyle.transfer import run as running


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.jpg", "painting.png"], "there is no file 'missing.jpg'"),
        (["photo.jpg", "text.png"], "'text.png' is not a picture"),
        (["truncated.jpg", "painting.png"], "'truncated.jpg' cannot be decoded"),
        (["bomb.ppm", "painting.png"], "'bomb.ppm' has more than 179 megapixels"),
        (["folder", "painting.png"], "'folder' is a folder"),
        (["photo.jpg", "painting.png", "--checkpoint", "folder"], "'folder' is a folder; name a file in it"),
        (
            ["photo.jpg", "painting.png", "--checkpoint", "painting.png"],
            "'painting.png' is not a run's checkpoint: it is a PNG picture; it is there already: name another file, or",
        ),
        (["photo.jpg"], "Missing argument 'STYLE'"),
        (["photo.jpg", "painting.png", "--size", "0"], "size must be a whole number of at least 1 pixel, not 0"),
        (["photo.jpg", "painting.png", "--size", "-5x20"], "size must be a whole number of at least 1 pixel, not -5"),
        (["photo.jpg", "painting.png", "--size", "8x450"], "needs at least 16x16"),
        (["photo.jpg", "painting.png", "--size", "12"], "needs at least 16x16"),
        (["loop.png", "painting.png"], "'loop.png' cannot be read"),
        (["pipe.jpg", "painting.png"], "'pipe.jpg' is not a regular file"),
        # Up to Python 3.12 a loop of links cannot be resolved; from 3.13 on it is a file that exists.
        (["photo.jpg", "painting.png", "-o", "loop.png"], "'loop.png' "),
        (["photo.jpg", "painting.png", "-o", "dangling.png"], "'dangling.png' exists already"),
        (["photo.jpg", "painting.png", "-o", "hard.jpg", "--force"], "'hard.jpg' is an input; it is never overwritten"),
        (["photo.jpg", "painting.png", "-o", "/proc/out.png"], "'/proc/out.png' cannot be written"),
        (["photo.jpg", "painting.png", "-o", "x" * 300 + ".png"], "cannot be written: File name too long"),
        (["photo.jpg", "painting.png", "--threads", "99999999999999999999"], "at most 1024"),
        (["photo.jpg", "painting.png", "--save-every", "5", "--plot", "photo-painting-0010.png"], "two outputs would go to"),
        (["photo.jpg", "painting.png", "--size", "99999"], "is more than 179 megapixels"),
        (["photo.jpg", "painting.png", "--size", "big"], "--size takes HEIGHTxWIDTH"),
        (["photo.jpg", "painting.png", "--size", "1x2x3"], "--size takes HEIGHTxWIDTH"),
        (["photo.jpg", "painting.png", "--backend", "pytorch"], "no backend 'pytorch'; did you mean 'torch'?"),
        (["photo.jpg", "painting.png", "--recipe", "d2"], "no recipe 'd2'; did you mean 'd2l'?"),
        (["photo.jpg", "painting.png", "--style-weight", "-1"], "style weight must be a finite number of at least 0"),
        (
            ["photo.jpg", "painting.png", "--tv-weight", "nan"],
            "tv weight must be a finite number of at least 0, not nan",
        ),
        (["photo.jpg", "painting.png", "--content-weight", "inf"], "content weight must be a finite number"),
        (["photo.jpg", "painting.png", "--lr", "0"], "learning rate must be a finite number above 0"),
        (["photo.jpg", "painting.png", "--steps", "0"], "number of steps must be a whole number of at least 1"),
        (["photo.jpg", "painting.png", "--steps", "many"], "'many' is not a valid integer"),
        (["photo.jpg", "painting.png", "--dtype", "half"], "dtype must be float32 or float64"),
        (["photo.jpg", "painting.png", "--threads", "0"], "number of threads must be at least 1"),
        (["photo.jpg", "painting.png", "--seed", "-1"], "seed must be a whole number"),
        (["photo.jpg", "painting.png", "--init", "nowhere.png"], "there is no file 'nowhere.png'"),
        (["photo.jpg", "painting.png", "--network", "vgg99"], "there is no network 'vgg99'"),
        (["photo.jpg", "painting.png", "--save-every", "0"], "--save-every must be at least 1"),
        (["photo.jpg", "painting.png", "--checkpoint", "9" * 400], "cannot be written: File name too long"),
        (["photo.jpg", "painting.png", "--stile-weight", "1"], "No such option"),
        (["photo.jpg", "painting.png", "--size", "short:x"], "--size takes HEIGHTxWIDTH"),
        (["photo.jpg", "painting.png", "--size", "wide:300"], "--size takes HEIGHTxWIDTH"),
        (["photo.jpg", "painting.png", "--pooling", "sum"], "pooling must be one of max, average, average-doubled, not 'sum'"),
        (["photo.jpg", "painting.png", "--optimizer", "sgd"], "optimizer must be adam or lbfgs, not 'sgd'"),
        (["photo.jpg", "painting.png", "--pyramid", "half"], "--pyramid takes levels, as 0.25:60,0.5:40"),
        (["photo.jpg", "painting.png", "--pyramid", "0.5:3,0.25:3"], "levels of a pyramid go from small to large"),
        (["photo.jpg", "painting.png", "--line-search", "strong-wolfe"], "is Adam: make it lbfgs"),
        (["photo.jpg", "-dash.jpg"], "The file '-dash.jpg' goes behind --, after the options. See `isostyle run --help`."),
        (
            ["photo.jpg", "painting.png", "--recipe", "tutorial", "--line-search", "strong-wolfe"],
            "an image that is clamped has no line search",
        ),
        (["photo.jpg", "painting.png", "--style-layers", "conv1_1=x"], "--style-layers takes layers and weights"),
        (["photo.jpg", "painting.png", "--style-layers", "conv9_9"], "has no layer 'conv9_9'"),
        (["photo.jpg", "painting.png", "--content-layers", ""], "has no layer ''"),
        (["photo.jpg", "painting.png", "--recipe", "nowhere.toml"], "there is no file 'nowhere.toml'"),
        (["photo.jpg", "painting.png", "--recipe", "text.toml"], "'text.toml' is not a TOML file"),
        (["photo.jpg", "painting.png", "--recipe", "typo.toml"], "'typo.toml': there is no key step; did you mean steps?"),
        (["photo.jpg", "painting.png", "--recipe", "text.png"], "'text.png' is a file, and a recipe's file ends in .toml"),
        (["photo.jpg", "painting.png", "--recipe", "tutorial"], "takes two images of one size"),
        (["photo.jpg", "painting.png", "-o", "out.xyz"], "does not end in a picture format"),
        (["photo.jpg", "painting.png", "--quality", "50"], "--quality is of JPEG, WebP and AVIF (.jpg, .webp, .avif)"),
        (["photo.jpg", "painting.png", "-o", "out"], "does not end in a picture format"),
        (["photo.jpg", "painting.png", "-o", "nowhere/out.png"], "there is no folder 'nowhere'"),
        (["photo.jpg", "painting.png", "-o", "folder.png"], "is a folder"),
        (["photo.jpg", "painting.png", "-o", "old.png"], "'old.png' exists already; use --force"),
        (
            ["photo.jpg", "painting.png", "-o", "photo.jpg", "--force"],
            "'photo.jpg' is an input; it is never overwritten",
        ),
        (["photo.jpg", "painting.png", "-o", "./link.png", "--force"], "is an input; it is never overwritten"),
        (["photo.jpg", "painting.png", "--tile", "on"], "tile must be auto, off or its side in pixels, not 'on'"),
        (["photo.jpg", "painting.png", "--tile", "0"], "side of a tile must be a whole number of at least 1 pixel, not 0"),
        (["photo.jpg", "painting.png", "--max-memory", "4"], "a number with KiB, MiB, GiB, MB or GB, as 4GiB, not '4'"),
        (["photo.jpg", "painting.png", "--history", "losses.txt"], "a history ends in .csv, .json"),
        (["photo.jpg", "painting.png", "--plot", "losses.bmp"], "a plot ends in .png, .svg, .pdf"),
        (["photo.jpg", "painting.png", "--plot", "photo-painting.png"], "two outputs would go to 'photo-painting.png'"),
        (["photo.jpg", "painting.png", "--history", "photo-painting.json"], "two outputs would go to"),
    ],
    ids=lambda value: " ".join(value[2:] or value) if isinstance(value, list) else None,
)
def test_input_that_cannot_be_used(folder, capsys, arguments, sentence):
    (folder / "text.png").write_text("no picture")
    (folder / "text.toml").write_text("no TOML")
    (folder / "typo.toml").write_text('base = "d2l"\nstep = 3\n')
    (folder / "truncated.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:1500])
    (folder / "bomb.ppm").write_bytes(b"P6 60000 60000 255\n" + b"\0" * 99)
    (folder / "-dash.jpg").write_bytes((folder / "photo.jpg").read_bytes())
    (folder / "folder").mkdir()
    (folder / "folder.png").mkdir()
    (folder / "old.png").write_bytes(b"precious")
    (folder / "link.png").symlink_to("painting.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "hard.jpg").hardlink_to(folder / "photo.jpg")
    os.mkfifo(folder / "pipe.jpg")

    def content():
        return {path: path.read_bytes() if not path.is_symlink() and path.is_file() else None for path in folder.rglob("*")}

    before = content()
    # Refused before a framework is loaded: torch need not be there, and it would take seconds.
    backend = [] if "--backend" in arguments else ["--backend", "torch"]
    assert isostyle("run", *arguments, *backend) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("isostyle: ")]
    assert len(errors) == 1
    assert sentence in errors[0]
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert content() == before


def test_a_backend_that_is_not_installed_is_answered_with_its_extra(folder, capsys, monkeypatch):
    from isostyle import registry

    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", "paddle") == 2
    assert "backend 'paddle' is not installed: pip install 'isostyle[paddle]'" in capsys.readouterr().err


def test_no_backend_at_all_is_answered_with_what_to_install(folder, capsys, monkeypatch):
    from isostyle import registry

    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    assert isostyle("run", "photo.jpg", "painting.png") == 2
    assert "no framework is installed: pip install 'isostyle[torch]'" in capsys.readouterr().err
    write_style(folder / "wave.safetensors")
    assert isostyle("apply", "wave.safetensors", "photo.jpg") == 2
    assert "no backend is installed: pip install 'isostyle[onnx]'" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["xbm", "h5", "eps2", "txt", "pdf", "eps", "ico"])
def test_a_format_that_cannot_hold_the_picture_is_refused_before_the_run(folder, suffix, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "-o", f"out.{suffix}") == 2
    assert "does not end in a picture format that can be written" in capsys.readouterr().err


def test_a_finished_picture_is_kept_when_its_folder_has_gone(folder, any_backend, capsys, monkeypatch):
    from isostyle.system import files

    plain = files.write_atomically

    def full(path, data):
        if path.name == "photo-painting.png":
            raise OSError(28, "No space left on device")
        plain(path, data)

    monkeypatch.setattr(files, "write_atomically", full)
    monkeypatch.setattr(encode.tempfile, "tempdir", str(folder))
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 1
    err = capsys.readouterr().err
    assert "cannot write 'photo-painting.png': No space left on device; the picture is kept in " in err
    (kept,) = folder.glob("photo-painting-*.png")
    assert opened(kept)[1] == (48, 32)


def test_a_stage_that_cannot_be_written_does_not_end_the_run(folder, any_backend, capsys, monkeypatch):
    plain = encode.save

    def full(finished, path, options):
        if path.name == "out-0002.png":
            raise OSError(28, "No space left on device")
        plain(finished, path, options)

    monkeypatch.setattr(encode, "save", full)
    command = ["run", "photo.jpg", "painting.png", "-o", "out.png", "--backend", any_backend, *QUICK, "--save-every", "2"]
    assert isostyle(*command) == 0
    assert "cannot write 'out-0002.png'" in capsys.readouterr().err
    assert opened("out.png")[1] == (48, 32)


def test_the_network_s_file_is_an_input_too(folder, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "--network", "painting.png", "-o", "painting.png", "--force") == 2
    assert "'painting.png' is an input" in capsys.readouterr().err


def test_force_overwrites_an_output(folder, any_backend):
    (folder / "out.png").write_bytes(b"old")
    assert isostyle("run", "photo.jpg", "painting.png", "-o", "out.png", "--force", "--backend", any_backend, *QUICK) == 0
    assert opened("out.png")[1] == (48, 32)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_before_the_run(folder, capsys):
    (folder / "locked").mkdir(mode=0o500)
    assert isostyle("run", "photo.jpg", "painting.png", "-o", "locked/out.png") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_run_without_a_single_good_step_overwrites_nothing(folder, any_backend, capsys):
    (folder / "out.png").write_bytes(b"precious")
    command = [
        "run",
        "photo.jpg",
        "painting.png",
        "-o",
        "out.png",
        "--force",
        "--backend",
        any_backend,
        "--style-weight",
        "1e308",
    ]
    assert isostyle(*command, *QUICK) == 1
    assert "became inf at step 0" in capsys.readouterr().err
    assert (folder / "out.png").read_bytes() == b"precious"


def test_an_error_of_the_framework_s_own_is_one_line(folder, any_backend, capsys, monkeypatch):
    from isostyle import registry

    def fail(*arguments):
        raise RuntimeError("cannot allocate 9000 bytes\nsecond line")

    monkeypatch.setattr(running, "climb", fail)
    assert isostyle("run", "photo.jpg", "painting.png", "--backend", any_backend, *QUICK) == 1
    line = f"isostyle: {any_backend} failed at size 32x48: cannot allocate 9000 bytes; {registry.LESS_MEMORY}\n"
    assert line in capsys.readouterr().err


def test_a_diverging_run_says_where_and_keeps_the_last_good_picture(folder, any_backend, capsys):
    assert isostyle("run", "photo.jpg", "painting.png", "--lr", "1e20", "--backend", any_backend, *QUICK) == 1
    captured = capsys.readouterr()
    assert "at step 1; try a smaller learning rate" in captured.err
    assert "the picture of step 0 is kept in 'photo-painting.png'" in captured.err
    assert opened("photo-painting.png")[1] == (48, 32)
    assert "Traceback" not in captured.err
