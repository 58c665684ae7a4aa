"""How much memory a run takes, how much there is, and what is chosen: by numbers, without a framework."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from isostyle import InputError, tiles
from isostyle.network import COMPACT, VGG19
from isostyle.published import D2L, GATYS2016, TUTORIAL
from isostyle.recipe import LbfgsSettings
from isostyle.system import allocation, memory
from isostyle.transfer import memory_plan

GIB, MIB = 2**30, 2**20
LARGE = (4000, 6000)


def model(recipe=D2L, network=COMPACT, backend="torch", content=LARGE, style=LARGE):
    return memory_plan.Model(recipe, network, backend, "float32", content, style)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A process of 300 MiB, on a machine with 8 GiB to spare."""
    monkeypatch.setattr(memory, "resident", lambda: 300 * MIB)
    monkeypatch.setattr(memory, "available", lambda: 8 * GIB)


# Amounts


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GiB", 4 * GIB), ("4 gib", 4 * GIB), ("1.5GB", 1500 * 10**6), ("512KiB", 2**19), ("900MB", 900 * 10**6), (7, 7)],
)
def test_amounts_of_memory(text, expected):
    assert memory.parse(text) == expected


@pytest.mark.parametrize("text", ["4", "4G", "GiB", "-1GiB", "0GiB", "1e3MB", "inf GB", "", 0, -5, 1.5, True, None])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(InputError, match="the memory must be a number with KiB"):
        memory.parse(text)


@pytest.mark.parametrize(("tile", "expected"), [("auto", "auto"), ("off", "off"), ("512", 512), (64, 64)])
def test_tiles(tile, expected):
    assert tiles.parse_tile(tile) == expected


@pytest.mark.parametrize("tile", ["on", "0", "-3", "1.5", "", 0, -1, True, 2.0, "9" * 30])
def test_what_is_no_tile_is_refused(tile):
    with pytest.raises(InputError, match="tile"):
        tiles.parse_tile(tile)


# The model


def test_a_pixel_of_the_compact_network_has_these_maps():
    """conv and ReLU of each layer up to conv5_1, and the pools."""
    blocks = [(16, 2, 1), (48, 2, 4), (96, 4, 16), (192, 4, 64)]
    expected = sum(2 * count * width / pixels + width / (4 * pixels) for width, count, pixels in blocks) + 192 / 256
    assert memory_plan.maps_of(COMPACT, ["conv5_1"]) == pytest.approx(expected)


def test_more_pixels_a_larger_tile_and_a_wider_network_take_more():
    assert model().bytes(512) < model().bytes(1024) < model().bytes(None)
    assert model(content=(400, 600)).bytes(None) < model().bytes(None)
    assert model().bytes(512) < model(network=VGG19).bytes(512)


def test_a_larger_style_picture_takes_more():
    at_400 = model(content=(300, 400), style=(300, 400)).bytes(None)
    assert model(content=(300, 400), style=(600, 800)).bytes(None) > 2 * at_400 - 300 * MIB


def test_a_pair_of_l_bfgs_takes_two_images():
    recipe = dataclasses.replace(TUTORIAL, steps=300)
    assert model(recipe).bytes(512, 11) - model(recipe).bytes(512, 10) == 2 * 3 * 4 * 4000 * 6000


def test_a_run_that_is_shorter_than_its_history_needs_no_more():
    short = dataclasses.replace(TUTORIAL, steps=1, optimizer=LbfgsSettings(iterations=5))
    assert model(short).bytes(512) == model(short).bytes(512, short.most_updates)


# The choice


def test_what_fits_as_a_whole_is_computed_as_a_whole_and_nothing_is_said():
    choice = memory_plan.choose(model(content=(300, 450), style=(300, 450)), "auto", None)
    assert (choice.tile, choice.lines, choice.recipe) == (None, (), D2L)


def test_what_does_not_fit_gets_the_largest_tile_that_does_and_one_line():
    found = model()
    choice = memory_plan.choose(found, "auto", "6GB")
    assert choice.estimate == found.bytes(choice.tile) <= choice.limit == 6 * 10**9 - 300 * MIB
    assert found.bytes(choice.tile + 64) > choice.limit
    (line,) = choice.lines
    assert line.startswith("in ")
    assert "halo of 80: as a whole it would take about" in line


def test_without_a_limit_nine_tenths_of_what_is_free_count():
    choice = memory_plan.choose(model(), "auto", None)
    assert choice.limit == int(0.9 * 8 * GIB)
    assert choice.tile is not None


def test_a_large_style_picture_alone_makes_tiles_necessary():
    assert memory_plan.choose(model(content=(300, 450)), "auto", "3GiB").tile is not None


def test_off_is_off_and_a_given_tile_is_taken(monkeypatch):
    assert memory_plan.choose(model(), "off", None).tile is None
    assert memory_plan.choose(model(), "300", None).tile == 300


def test_nothing_fits():
    with pytest.raises(
        InputError, match=r"even in tiles of 128 pixels .* GiB, more than the 724 MiB that the memory limit leaves"
    ) as found:
        memory_plan.choose(model(), "auto", "1GiB")
    assert str(found.value).endswith("(1.0 GiB, 300 MiB in use); choose a smaller size, or a larger limit")


def test_without_a_limit_of_one_s_own_what_does_not_fit_can_be_tried_all_the_same(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: GIB)
    with pytest.raises(
        InputError, match="the 922 MiB that can be used; choose a smaller size; a tile of 128 is tried all the same"
    ):
        memory_plan.choose(model(), "auto", None)
    assert memory_plan.choose(model(), "128", None).tile == 128


def test_less_than_the_program_itself_takes():
    with pytest.raises(InputError, match="the memory limit of 200 MiB is less than the 300 MiB that the program itself takes"):
        memory_plan.choose(model(), "auto", "200MiB")


@pytest.mark.parametrize(("tile", "what"), [("off", "the picture as a whole"), (2048, "tiles of 2048 pixels")])
def test_what_was_asked_for_does_not_fit(tile, what):
    with pytest.raises(InputError, match=f"{what} would take about .*; try tiles that are chosen"):
        memory_plan.choose(model(), tile, "4GiB")


def test_a_history_that_does_not_fit_is_cut_and_said():
    recipe = dataclasses.replace(TUTORIAL, steps=300)
    choice = memory_plan.choose(model(recipe), "auto", "12GiB")
    assert 1 <= choice.recipe.optimizer.history < 100
    assert choice.estimate == model(choice.recipe).bytes(choice.tile) <= choice.limit
    assert choice.lines[-1] == f"L-BFGS keeps {choice.recipe.optimizer.history} pairs and not 100: no more fit into memory"
    assert choice.recipe.digest != recipe.digest


def test_a_device_of_its_own_is_not_measured_by_the_system_s_memory():
    assert memory_plan.choose(model(), "auto", None, on_cpu=False).tile is None
    assert memory_plan.choose(model(), "auto", "6GB", on_cpu=False).limit == 6 * 10**9


@pytest.mark.parametrize("limit", ["1.4GB", "1.5GB", "1.7GB", "2GB", "2.5GB"])
def test_the_estimate_of_a_cut_history_is_within_the_limit_where_the_style_picture_is_much_larger(limit):
    """What is held before the run is then more than the first pairs take, which seem to cost nothing."""
    found = model(GATYS2016, content=(1000, 1000), style=(4000, 5000))
    choice = memory_plan.choose(found, "auto", limit)
    history = choice.recipe.optimizer.history
    assert choice.estimate <= choice.limit
    if history < 100:
        assert found.bytes(choice.tile, history + 1) > choice.limit
        assert f"keeps {history} pair" in choice.lines[-1]
    else:
        assert len(choice.lines) == 1


def test_a_history_is_cut_before_tiles_become_small(monkeypatch):
    """With all pairs only small tiles would fit; and where 512 does not, the tile is the largest, and not the smallest."""
    recipe = dataclasses.replace(TUTORIAL, steps=300)
    for limit in range(4 * 10**9, 9 * 10**9, 10**8):
        try:
            choice = memory_plan.choose(model(recipe), "auto", limit)
        except InputError:
            continue
        assert choice.tile >= memory_plan.LEAST_TILE
        if choice.recipe.optimizer.history < 100:
            assert choice.tile >= 512 or model(recipe).bytes(choice.tile + 64, 1) > choice.limit
        else:
            assert choice.tile >= 512


def test_no_tile_of_a_few_pixels_is_chosen_but_one_may_be_given():
    assert model(TUTORIAL).smallest() == memory_plan.LEAST_TILE > 12 == tiles.halo_of(COMPACT, TUTORIAL.taps)
    assert memory_plan.choose(model(TUTORIAL), "12", None).tile == 12


def test_a_crop_is_measured_without_making_every_window(monkeypatch):
    """There are 24 million windows of a pixel each."""
    found = model(TUTORIAL)
    expected = max(window.shape for window in tiles.windows(400, 600, COMPACT, TUTORIAL.taps, 4))
    assert found.crop((400, 600), TUTORIAL.taps, 4) == expected[0] * expected[1]
    monkeypatch.setattr(tiles, "windows", None)
    assert found.bytes(1) < found.bytes(512)


def test_a_tile_that_is_narrower_than_its_halo_is_taken_and_said():
    (line,) = memory_plan.choose(model(), "64", None).lines
    assert line == "tiles of 64 pixels are narrower than their halo of 80: most of the work is done more than once"
    assert memory_plan.choose(model(), "80", None).lines == ()
    assert memory_plan.choose(model(content=(60, 60)), "64", None).lines == ()


def test_memory_that_is_kept_after_it_was_freed_is_given_back_before_a_run_is_measured(monkeypatch):
    order = []
    monkeypatch.setattr(allocation, "give_back_freed_memory", lambda: order.append("given back"))
    monkeypatch.setattr(memory, "resident", lambda: order.append("measured") or 300 * MIB)
    memory_plan.choose(model(), "auto", "6GB")
    assert order == ["given back", "measured"]


# What the system tells


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with 5000 KiB to spare, and files as in /proc and /sys/fs/cgroup."""
    monkeypatch.undo()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5000 * 1024))

    def write(files, groups):
        (tmp_path / "proc" / "self").mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
        for name, text in files.items():
            (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "cgroup" / name).write_text(text)
        return memory.available(tmp_path / "proc", tmp_path / "cgroup")

    return write


def test_without_control_groups_all_that_is_free_can_be_had(system):
    assert system({}, "0::/\n") == 5000 * 1024


def test_a_control_group_allows_less_and_its_caches_do_not_count(system):
    files = {
        "a/b/memory.max": "1000000\n",
        "a/b/memory.current": "700000\n",
        "a/b/memory.stat": "anon 5\ninactive_file 100000\n",
    }
    assert system({**files, "a/memory.max": "max\n"}, "0::/a/b\n") == 400000


def test_a_group_above_counts_too(system):
    files = {"a/memory.max": "900\n", "a/memory.current": "200\n", "a/memory.stat": "inactive_file 0\n"}
    assert system({**files, "a/b/memory.max": "max\n"}, "0::/a/b\n") == 700


def test_the_first_version_of_control_groups(system):
    place = "memory/docker/x/memory"
    files = {f"{place}.limit_in_bytes": "5000", f"{place}.usage_in_bytes": "4000", f"{place}.stat": "total_inactive_file 500"}
    assert system(files, "9:cpu:/docker/x\n4:memory:/docker/x\n") == 1500


def test_in_a_container_the_root_is_its_own(system):
    files = {"memory.max": "800", "memory.current": "300", "memory.stat": "inactive_file 0"}
    assert system(files, "0::/docker/of-the-host\n") == 500


def test_this_process_has_some_memory(monkeypatch):
    monkeypatch.undo()
    assert memory.resident() > 2**20
    assert memory.available() > 2**20
    assert memory.peak() >= memory.resident() / 2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a child from its parent")
def test_a_child_s_peak_is_its_own_and_not_its_parent_s():
    code = "from isostyle.system import memory; print(memory.peak())"
    parent = f"import subprocess, sys; x = b'x' * 200_000_000; subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    done = subprocess.run([sys.executable, "-c", parent], check=True, stdout=subprocess.PIPE, text=True)
    assert 0 < int(done.stdout) < 200_000_000
