"""`isostyle bench`: what it counts and prints, from made-up measurements; a tiny run of each way; errors. No time is judged."""

import copy
import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from isostyle.cli.main import main
from isostyle.conformance.bench import report as bench_report
from isostyle.conformance.bench import runs as bench_runs
from isostyle.conformance.bench import worker as bench_worker
from isostyle.conformance.bench.convolutions import CONVOLUTIONS
from isostyle.conformance.bench.worker import OURS, WAY_NAMES, Clock, Enough, Job
from isostyle.network import VGG19, Network
from isostyle.published import D2L
from isostyle.weights import store

MIB = 2**20
#: A report of nothing.
UNMEASURED = {"cells": []}


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "isostyle", "bench", *map(str, arguments)], capture_output=True, text=True, check=False
    )


# Operations


def test_operations_are_those_counted_by_hand():
    tiny = Network("tiny", (1, 1), (2, 5))
    recipe = dataclasses.replace(D2L, content_layers=(("conv2_1", 1.0),), style_layers=(("conv1_1", 1.0),))
    # conv1_1: 3 to 2 channels at 7x10; conv2_1: 2 to 5 at 3x5, for the pool drops the odd row. Twice: forward and back.
    convolutions = 2 * (2 * 9 * 3 * 2 * 7 * 10 + 2 * 9 * 2 * 5 * 3 * 5)
    gram = 2 * (2 * 2 * 2 * 7 * 10)
    assert bench_report.operations(tiny, recipe, 7, 10) == convolutions + gram


def test_layers_behind_the_deepest_tap_are_not_counted():
    deeper = Network("deeper", (2, 1), (2, 5))
    shallow = dataclasses.replace(D2L, content_layers=(("conv1_1", 1.0),), style_layers=(("conv1_1", 1.0),))
    assert bench_report.operations(deeper, shallow, 4, 6) == 2 * (2 * 9 * 3 * 2 * 24 + 2 * 2 * 2 * 24)


def test_half_the_channels_need_a_quarter_of_the_operations_but_for_the_first_convolution():
    half = Network("half", VGG19.depths, tuple(width // 2 for width in VGG19.widths))
    full, quarter = (bench_report.operations(network, D2L, 300, 450) for network in (VGG19, half))
    assert 3.9 < full / quarter < 4  # which has 3 channels in both


# Tables


def cell(way, number, steps, **more):
    return {
        "network": "compact",
        "backend": "torch",
        "way": way,
        "height": 300,
        "width": 450,
        "round": number,
        "threads": None if way == "published" else 2,
        "version": "9.9",
        "imported_bytes": 100 * MIB,
        "peak_bytes": (300 + number) * MIB,
        "product_s": [0.5, 0.1, 0.1],
        "convolutions_s": [0.16, 0.16, 0.3] if way in OURS else [],
        "first_loss_s": 4.0 + number,
        "steps_s": steps,
        "busy_cores": 1.9,
        **more,
    }


@pytest.fixture
def report():
    """Measurements that nobody made."""
    times = {"published": [1.0, 1.2, 1.4], "published-n": [0.8, 0.8, 0.8], "exact": [0.4, 0.4, 0.4], "fast": [0.2, 0.2, 0.2]}
    return {
        "schema": bench_report.SCHEMA,
        "machine": "an abacus",
        "python": "3.11",
        "threads": 2,
        "recipe": "d2l",
        "networks": {"compact": {"random": False, "weights_sha256": "00"}},
        "ways": list(WAY_NAMES),
        "size": [300, 450],
        "sizes": [],
        "rounds": 2,
        "published_steps": 500,
        "operations": {"compact": {"300x450": 20_000_000_000, "600x900": 80_000_000_000}},
        "cells": [cell(way, number, seconds) for number in (1, 2) for way, seconds in times.items()],
        "losses": [],
        "problems": [],
    }


def test_a_row_is_the_median_of_all_rounds_and_the_largest_memory(report):
    row = bench_report.rows(report)[0]
    assert (row.low, row.median, row.high) == pytest.approx((1.05, 1.2, 1.35))
    assert row.first_loss == 5.5
    assert (row.peak, row.imported) == (302 * MIB, 100 * MIB)


def test_the_share_is_of_what_a_matrix_product_reaches(report):
    fast = bench_report.rows(report)[-1]
    assert fast.gflops == pytest.approx(100)
    assert bench_report.PRODUCT_OPERATIONS == 2 * 1024 * 1024 * 4096
    assert fast.share == pytest.approx(100 / (2 * 1024 * 1024 * 4096 / 0.1 / 1e9))


def test_the_first_table_has_each_way_and_their_ratios(report):
    first = bench_report.tables(report)[0]
    assert first.header == [
        "network",
        "backend",
        "version",
        "published",
        "published, 2 threads",
        "exact",
        "fast",
        "published / fast",
        "published / exact",
        "published, 2 threads / fast",
        "exact / convolutions",
        "fast / convolutions",
    ]
    [line] = first.rows
    assert line == [
        "compact",
        "torch",
        "9.9",
        "1.200 (1.050 to 1.350)",
        "0.800 (0.800 to 0.800)",
        "0.400 (0.400 to 0.400)",
        "0.200 (0.200 to 0.200)",
        "6.00x",
        "3.00x",
        "4.00x",
        "2.50x",
        "1.25x",
    ]


def test_a_way_that_failed_is_a_dash_and_a_sentence(report):
    report["cells"] = [each for each in report["cells"] if each["way"] != "fast"]
    report["cells"].append(
        {"network": "compact", "backend": "torch", "way": "fast", "height": 300, "width": 450, "problem": "no"}
    )
    report["problems"] = ["compact, torch, fast: no"]
    first = bench_report.tables(report)[0]
    assert first.rows[0][-6:] == ["-", "-", "3.00x", "-", "2.50x", "-"]
    assert "FAILED compact, torch, fast: no" in bench_report.as_text(report)


def test_a_backend_without_a_published_way_has_ours_alone(report):
    report["cells"] = [
        {**each, "product_s": [], "convolutions_s": []} for each in report["cells"] if each["way"] in ("exact", "fast")
    ]
    steps, cost = bench_report.tables(report)
    assert steps.rows[0][3:5] == ["-", "-"]
    assert steps.rows[0][-2:] == ["-", "-"]
    assert [line[5] for line in cost.rows] == ["-", "-"]


def test_random_weights_are_said(report):
    assert "random weights" not in bench_report.as_text(report)
    report["networks"]["compact"]["random"] = True
    assert "compact has random weights" in bench_report.as_text(report)


def test_markdown_has_the_same_cells_as_text(report):
    markdown, text = bench_report.as_markdown(report), bench_report.as_text(report)
    assert "| compact | torch | 9.9 | 1.200 (1.050 to 1.350) |" in markdown
    assert "compact  torch    9.9      1.200 (1.050 to 1.350)" in text
    assert "\x1b" not in text + markdown


def test_an_exponent_is_the_slope_of_a_fit_of_logarithms():
    assert bench_report.exponent([1, 4, 9], [5, 5 * 4**1.5, 5 * 9**1.5]) == pytest.approx(1.5)


def test_one_size_has_no_exponent():
    assert math.isnan(bench_report.exponent([4, 4], [1, 2]))
    assert math.isnan(bench_report.exponent([4, 9], [0, 2]))


def test_time_and_memory_stand_against_the_size(report):
    larger = [
        {
            **copy.deepcopy(each),
            "height": 600,
            "width": 900,
            "steps_s": [4 * s for s in each["steps_s"]],
            "peak_bytes": 908 * MIB,
        }
        for each in report["cells"]
    ]
    report["cells"] += larger
    report["sizes"] = [[300, 450], [600, 900]]
    table = bench_report.tables(report)[2]
    assert table.rows[-1] == ["compact", "torch", "fast", "0.200 s, 302 MiB", "0.800 s, 908 MiB", "1.00", "1.00"]
    # The other tables have the main size only.
    assert len(bench_report.tables(report)[0].rows) == 1


def loss_entry(**more):
    def published(seconds):
        return {"seconds": seconds, "steps": 500, "total": 2.5, "extrapolated_from": None}

    return {
        "network": "compact",
        "backend": "torch",
        "target": 2.5,
        "published": published(300.0),
        "published-n": published(200.0),
        "ours": {"seconds": 10.0, "total": 2.49, "evaluations": {"75x112": 60, "300x450": 7}, "candidates": []},
        **more,
    }


def test_the_time_to_the_published_loss_is_a_table_of_its_own(report):
    report["losses"] = [loss_entry()]
    line = bench_report.tables(report)[-1].rows[0]
    assert line == [
        "compact",
        "torch",
        "2.5000",
        "300.0 s",
        "200.0 s",
        "10.0 s",
        "30.0x",
        "20.0x",
        "60 at 75x112, 7 at 300x450",
    ]


def test_an_extrapolated_time_is_said_to_be_one(report):
    entry = loss_entry()
    entry["published"]["extrapolated_from"] = entry["published-n"]["extrapolated_from"] = 20
    assert "EXTRAPOLATED" not in bench_report.as_markdown({**report, "losses": [loss_entry()]})
    assert "EXTRAPOLATED from 20 steps to 500" in bench_report.as_markdown({**report, "losses": [entry]})


def test_a_target_that_is_not_reached_is_said(report):
    entry = loss_entry(ours={"seconds": None, "total": 2.7, "evaluations": {"300x450": 40}, "candidates": []})
    printed = bench_report.as_text({**report, "losses": [entry]})
    assert "ours ended at a total of 2.7000, above the target" in printed


# The clock


def test_the_first_step_and_the_warm_up_are_no_counted_steps():
    clock = Clock(3)
    clock.start()
    for _ in range(bench_worker.WARM_UP + 3):
        clock.tick()
    with pytest.raises(Enough):
        clock.tick()
    assert len(clock.answer()["steps_s"]) == 3


# The time to a loss, with processes that only pretend


@pytest.fixture
def plan(tmp_path):
    compact = store.load("compact")
    return bench_runs.Plan(
        folder=tmp_path,
        content="c.png",
        style="s.png",
        networks={"compact": compact},
        places={"compact": "compact"},
        backends=["torch"],
        size=(32, 48),
        sizes=(),
        steps=2,
        rounds=1,
        threads=2,
        published_steps=500,
    )


def pretend(published_totals, candidates):
    """Processes that answer at once, and the jobs that they were given."""
    jobs = []

    def run(job):
        jobs.append(job)
        if job.task == "totals":
            known = {**dict(zip(("published.npy", "published-n.npy"), published_totals, strict=True))}
            known |= {f"ours-{i}.npy": exact for i, (_, exact) in enumerate(candidates)}
            return {"totals": [known[path] for path in job.pictures]}
        if job.way == "fast":
            kept = [
                {"seconds": seconds, "total": exact, "picture": f"ours-{i}.npy", "evaluations": {"32x48": i + 1}}
                for i, (seconds, exact) in enumerate(candidates)
            ]
            return {"version": "9", "candidates": kept, "evaluations": {"32x48": 99}, "seconds": 9.0, "total": 7.0}
        return {"version": "9", "first_s": 5.0, "last_s": 5.0 + (job.steps - 1) * 2.0, "picture": f"{job.way}.npy"}

    return run, jobs


def test_ours_is_there_at_the_first_picture_whose_exact_total_is_at_the_target(plan):
    run, jobs = pretend((2.5, 2.4), [(3.0, 2.41), (3.5, 2.4), (4.0, 2.3)])
    [found] = bench_runs.losses(plan, UNMEASURED, print, run)
    assert found["target"] == 2.4  # the lower of the two
    assert (found["ours"]["seconds"], found["ours"]["evaluations"]) == (3.5, {"32x48": 2})
    assert [(job.way, job.task, job.threads) for job in jobs] == [
        ("published", "to-loss", None),
        ("published-n", "to-loss", 2),
        ("exact", "totals", 2),
        ("fast", "to-loss", 2),
        ("exact", "totals", 2),
    ]
    assert found["published"]["seconds"] == 5 + 499 * 2


def test_ours_that_never_gets_there_has_no_time(plan):
    run, _ = pretend((2.5, 2.4), [])
    [found] = bench_runs.losses(plan, UNMEASURED, print, run)
    assert found["ours"]["seconds"] is None
    assert found["ours"]["total"] == 7.0


def test_an_extrapolated_time_repeats_the_steps_and_not_the_start(plan):
    plan = dataclasses.replace(plan, extrapolated_from=20, target=2.45)
    run, jobs = pretend((2.5, 2.4), [(3.0, 2.41)])
    [found] = bench_runs.losses(plan, UNMEASURED, print, run)
    assert jobs[0].steps == 20
    assert found["target"] == 2.45
    assert found["published"]["seconds"] == 5 + 499 * 2
    assert found["published"]["extrapolated_from"] == 20


def test_a_process_that_fails_ends_its_comparison_only(plan):
    plan = dataclasses.replace(plan, backends=["torch", "paddle"])
    run, _ = pretend((2.5, 2.4), [(3.0, 2.3)])
    found = list(
        bench_runs.losses(plan, UNMEASURED, print, lambda job: {"problem": "no"} if job.backend == "torch" else run(job))
    )
    assert found[0]["problem"] == "published: no"
    assert found[1]["ours"]["seconds"] == 3.0


def test_ways_and_backends_take_turns_in_every_round(plan):
    plan = dataclasses.replace(plan, backends=["torch", "mxnet"], rounds=2)
    plan = dataclasses.replace(plan, content=__file__, style=__file__)
    jobs = []

    def run(job):
        jobs.append((job.backend, job.way))
        return {"problem": "not run"}

    report = bench_runs.measure(plan, print, run)
    one = [(backend, way) for backend in ("torch", "mxnet") for way in WAY_NAMES]
    assert jobs == one + one
    assert len(report["problems"]) == len(jobs)


# Processes


def environment_of(plan, monkeypatch, way):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    seen = {}

    def instead(command, env, **_):
        seen.update(env)
        return subprocess.CompletedProcess(command, 1, "", "the last words")

    monkeypatch.setattr(subprocess, "run", instead)
    answer = bench_runs.elsewhere(plan.folder)(plan.job(way, "torch", "compact", (32, 48), task="time", steps=2))
    assert answer == {"problem": "ended with exit code 1: the last words"}
    return seen


def test_the_published_way_finds_no_word_of_threads_in_its_environment(plan, monkeypatch):
    assert not set(environment_of(plan, monkeypatch, "published")) & set(bench_runs.THREAD_VARIABLES)


@pytest.mark.parametrize("way", ["published-n", "exact", "fast"])
def test_the_other_ways_have_as_many_threads_as_were_asked_for(plan, monkeypatch, way):
    seen = environment_of(plan, monkeypatch, way)
    assert {name: seen[name] for name in bench_runs.THREAD_VARIABLES if name in seen} == {"OMP_NUM_THREADS": "2"}


@pytest.mark.slow
def test_every_way_of_each_backend_is_measured(backend, tmp_path):
    file = tmp_path / "bench.json"
    result = bench("--backend", backend.name, "--size", "32x48", "--steps", 2, "--rounds", 1, "--threads", 2, "--json", file)
    assert result.returncode == 0, result.stderr
    report = json.loads(file.read_text())
    assert report["schema"] == "isostyle.bench/1"
    assert [each["way"] for each in report["cells"]] == list(WAY_NAMES)
    for each in report["cells"]:
        assert len(each["steps_s"]) == 2
        assert len(each["product_s"]) == bench_worker.REPEATS
        known = each["way"] in OURS and backend.name in CONVOLUTIONS
        assert len(each["convolutions_s"]) == bench_worker.REPEATS * known
        assert 0 < each["imported_bytes"] <= each["peak_bytes"]
        assert each["version"] == report["cells"][0]["version"]
    assert [each["threads"] for each in report["cells"]] == [None, 2, 2, 2]
    assert result.stdout == bench_report.as_text(report) + "\n"
    assert "4/4  compact, " in result.stderr


@pytest.mark.slow
def test_the_published_loss_is_reached_by_ours(backend, tmp_path, photograph):
    """In this process, task by task: three published steps, their exact total, and ours until it is there."""
    from isostyle.demo.inputs import painting

    paths = [tmp_path / "content.png", tmp_path / "style.png"]
    photograph.save(paths[0])
    painting().save(paths[1])
    job = Job("to-loss", backend.name, "published", "compact", *map(str, paths), 64, 96, 2, 3, folder=str(tmp_path))
    published = bench_worker.published_to_loss(job)
    picture = np.load(published["picture"])
    assert picture.shape == (1, 3, 64, 96)
    exact = dataclasses.replace(job, task="totals", way="exact", pictures=(published["picture"],))
    [target] = bench_worker.totals(exact)["totals"]
    found = bench_worker.ours_to_loss(dataclasses.replace(job, way="fast", target=target))
    assert sum(found["evaluations"].values()) == sum(found["candidates"][-1]["evaluations"].values())
    again = dataclasses.replace(exact, pictures=tuple(each["picture"] for each in found["candidates"]))
    assert min(bench_worker.totals(again)["totals"]) <= target


# Errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "jax"], "there is no backend 'jax'"),
        (["--size", "300"], "--size takes HEIGHTxWIDTH, as 300x450, not '300'"),
        (["--size", "300x450,600x900"], "--size takes one size"),
        (["--sizes", "8x8"], "the size 8x8 is too small"),
        (["--network", "resnet"], "there is no network 'resnet'"),
        (["--network", "vgg16"], "vgg16"),
        (["--rounds", "0"], "--rounds"),
        (["--threads", "0"], "the number of threads must be at least 1"),
        (["only-one.jpg"], "name two pictures, CONTENT and STYLE, or none"),
        (["none.jpg", "none.jpg"], "there is no file 'none.jpg'"),
        (["--target", "2"], "belong to --loss"),
        (["--loss", "--target", "2"], "--extrapolate and --target go together"),
        (["--loss", "--extrapolate"], "--extrapolate and --target go together"),
        (["--loss", "--extrapolate", "--target", "2"], "--extrapolate takes --published-steps from 2 to 499"),
        (["--loss", "--extrapolate", "--target", "-1", "--published-steps", "9"], "the target must be a number above 0"),
        (["--json", "no/such/folder.json"], "there is no folder 'no/such'"),
    ],
)
def test_input_that_cannot_be_used_gets_one_sentence(arguments, words, any_backend, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["bench", *arguments])
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    [line] = printed.err.splitlines()
    assert line.startswith("isostyle: ")
    assert words in line
    assert list(tmp_path.iterdir()) == []
