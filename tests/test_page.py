"""The page: one file that holds everything, loads nothing, and stands whatever a trace holds."""

from __future__ import annotations

import base64
import dataclasses
import html
import importlib.util
import io
import math
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from isostyle import InputError
from isostyle.conformance import drawings, page, report
from isostyle.conformance.compare import Comparison, Verdict
from isostyle.conformance.kinds import all_tolerances
from isostyle.conformance.trace import Trace

needs_its_libraries = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("jinja2", "matplotlib")),
    reason="the page is made with jinja2 and matplotlib: pip install 'isostyle[html]'",
)
RUN = "run/d2l/picture@compact"
HOSTILE = "<script>alert('x')</script>\"'&${{7*7}}$\\frac</td><!--"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
#: Seconds; a browser's first start on a busy machine takes long.
PATIENCE = 180
#: HTML's elements that have no end.
VOID = {"meta", "img", "br", "link"}


def image(seed=0, size=(6, 8)):
    return np.random.RandomState(seed).standard_normal((1, 3, *size))


def totals():
    return np.linspace(100, 20, 11)


def backend_points(**float32):
    """A backend's points of the run; ``float32`` says other ones, None none."""
    found = {"image": (image() + 1e-4 * image(1)).astype(np.float32), "totals": totals() * (1 + 1e-6), **float32}
    found = {name: array for name, array in found.items() if array is not None}
    return {("float32", RUN): found, ("float64", RUN): {"image": image(), "totals": totals()}}


def oracle_points(**other):
    return {("float64", RUN): {"image": image(), "totals": totals(), **other}}


def trace(name, points=None, error=None, **run):
    """A trace whose only case is a short run; ``error`` is what it raised in float32."""
    found = {
        "backend": name,
        "backend_version": "1.0",
        "specification": "0123456789abcdef",
        "device": "cpu",
        "threads": 2,
        "created": "2026-01-01T00:00:00+00:00",
        "versions": {"python": "3.11.7", "numpy": "1.23.5"},
        "cases": [{"dtype": "float32", "case": RUN, **({"error": error} if error else {})}],
        **run,
    }
    if points is None:
        points = oracle_points() if name == "oracle" else backend_points()
    return Trace(found, points)


def verdict(backend="torch", found="PASS", ratio=0.1, **other):
    about = {"dtype": "float32", "kind": "run", "case": RUN, "point": "image", "why": "why", "tolerance": "ten steps"}
    return Verdict(**{**about, "backend": backend, "verdict": found, "ratio": ratio, **other})


def comparison(traces=None, verdicts=None, oracle=None, problems=(), remarks=()):
    traces = [trace("torch"), trace("paddle")] if traces is None else traces
    verdicts = [verdict(trace.name) for trace in traces] if verdicts is None else verdicts
    apart = {(traces[0].name, traces[1].name): 0.25} if len(traces) == 2 else {}
    return Comparison(oracle or trace("oracle"), tuple(traces), tuple(verdicts), tuple(problems), apart, tuple(remarks))


def rich(name="torch", text="off"):
    """A comparison with something in every section; ``name`` and ``text`` stand wherever a stranger's can."""
    traces = [trace(name, error=text, device=text, versions={text: text}), trace("paddle")]
    verdicts = [
        verdict(name, ratio=0.02),
        verdict("paddle", ratio=0.7),
        verdict("paddle", ratio=0.0, dtype="float64"),
        verdict(name, "XFAIL", 3.0, reason="It does so.", link="https://example.org/1"),
        verdict("paddle", "SKIP", math.nan, why=text),
        verdict("paddle", "FAIL", 2.5e5, dtype="float64", point="totals", tolerance="loss curve", why=text),
        verdict(name, "MISSING", math.nan, case=f"run/{text}/scene", point=text, tolerance="", why=text),
        verdict(name, "XPASS", 0.5, point="rates", reason="It did."),
    ]
    return comparison(traces, verdicts, problems=[text], remarks=[text])


def made(found):
    return page.as_html(found).decode()


def text_of(markup):
    """What a reader sees, spaces made single."""
    without = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", markup, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(without))


def pictures_of(markup):
    """The pictures, decoded."""
    sources = re.findall(r'<img src="data:image/png;base64,([^"]*)"', markup)
    return [Image.open(io.BytesIO(base64.b64decode(source, validate=True))).convert("RGB") for source in sources]


class Tree(HTMLParser):
    """Every element and attribute of a page, and the ends that no beginning fits."""

    def __init__(self, markup):
        super().__init__()
        self.open, self.unfit, self.tags, self.attributes = [], [], [], []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unfit.append(tag)

    def values(self, name):
        return [value for _, found, value in self.attributes if found == name]


# What it is made with


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_without_its_libraries_the_reason_is_one_sentence(monkeypatch, missing):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(InputError, match=r"^the page needs jinja2 and matplotlib: pip install 'isostyle\[html\]'$"):
        page.check()


@needs_its_libraries
def test_with_its_libraries_it_can_be_made():
    page.check()


# What it says


@needs_its_libraries
def test_that_all_conforms_is_said_in_words():
    assert "PASS CONFORMS: 2 points within tolerance" in text_of(made(comparison()))


@needs_its_libraries
def test_that_something_fails_is_said_in_words():
    assert "FAIL DOES NOT CONFORM: 3 of 8 points; off" in text_of(made(rich()))


@needs_its_libraries
def test_the_matrix_has_the_worst_of_each_backend_and_where_it_was():
    found = comparison(verdicts=[verdict("torch", ratio=0.125), verdict("paddle", ratio=0.5, point="totals"), verdict("torch")])
    markup = made(found)
    assert re.search(rf"run float32 0\.12 0\.5 \S+ {RUN}:totals", text_of(markup))  # between them: the smallest mutant
    assert f'title="PASS {RUN}:totals float32: why"' in markup


@needs_its_libraries
def test_the_smallest_mutant_stands_beside_what_is_correct(monkeypatch):
    monkeypatch.setattr(report, "mutants", lambda: {"run": {"float32": 321.0}})
    assert "run float32 0.1 0.1 3.2e+02" in text_of(made(comparison()))


@needs_its_libraries
def test_a_cell_is_green_far_below_its_tolerance_amber_near_it_and_red_above():
    hues = [int(re.match(r"--hue:(\d+);", page.shade(ratio))[1]) for ratio in (0.0, 1e-3, 0.9, 1.0, math.inf)]
    assert min(hues[:2]) > 100
    assert 30 < hues[2] < 60
    assert max(hues[3:]) < 10


@needs_its_libraries
def test_each_two_backends_and_the_oracle_are_set_against_each_other():
    found = comparison(verdicts=[verdict("torch", ratio=0.5), verdict("paddle", ratio=0.75)])
    assert "oracle torch paddle oracle - 0.5 0.75 torch 0.5 - 0.25 paddle 0.75 0.25 -" in text_of(made(found))


@needs_its_libraries
def test_every_verdict_that_is_not_pass_is_there_with_its_reason():
    failed = [verdict("torch", "FAIL", 2.0, point=f"point {i}", why=f"because of {i}.") for i in range(100)]
    text = text_of(made(comparison(verdicts=failed)))
    assert all(f"FAIL torch {RUN}:point {i} float32 because of {i}. " in text for i in range(100))


@needs_its_libraries
def test_a_declared_deviation_is_told_once_with_its_link_and_without_what_was_measured():
    declared = {"reason": "It does so.", "link": "https://example.org/1"}
    found = comparison(verdicts=[verdict("torch", "XFAIL", 3.0, point=point, **declared) for point in ("one", "two")])
    markup = made(found)
    assert "torch , 2 points: It does so. https://example.org/1 Tolerances" in text_of(markup)
    assert [value for tag, name, value in Tree(markup).attributes if (tag, name) == ("a", "href")] == ["https://example.org/1"]


@needs_its_libraries
@pytest.mark.parametrize("link", ["javascript:alert(1)", "http://example.org", "data:text/html,x", "HTTPS://"])
def test_only_a_link_to_https_becomes_one(link):
    tree = Tree(made(comparison(verdicts=[verdict("torch", "SKIP", math.nan, reason="It has none.", link=link)])))
    assert "a" not in tree.tags


@needs_its_libraries
def test_every_tolerance_is_explained_and_its_verdicts_counted():
    text = text_of(made(comparison()))
    for tolerance in all_tolerances():
        assert tolerance.reason in text
    assert "ten steps float32 run 2 steps of 1/255, root mean square" in text


@needs_its_libraries
def test_what_differs_between_the_traces_stands_apart_from_what_is_the_same():
    text = text_of(made(comparison([trace("torch", device="cuda"), trace("paddle")])))
    apart, _, same = text.partition("the same for all:")
    assert "device cpu cuda cpu" in apart
    assert "threads 2 python 3.11.7 numpy 1.23.5" in same


@needs_its_libraries
def test_problems_and_remarks_are_there():
    text = text_of(made(comparison(problems=["Something is amiss."], remarks=["By the way."])))
    assert "Problems Something is amiss. Remarks By the way." in text


# Curves and pictures


@needs_its_libraries
def test_every_backend_has_a_curve_of_its_own_color_in_both_dtypes():
    found = re.findall(r"<svg.*?</svg>", made(comparison()), re.DOTALL)
    plots = [drawing for drawing in found if "relative difference" in drawing]
    assert len(plots) == 2
    for plot in plots:
        assert all(color.lower() in plot for color in (*drawings.COLORS[:2], drawings.ORACLE_COLOR))


@needs_its_libraries
def test_the_largest_relative_difference_of_a_curve_is_said():
    off = totals() * np.where(np.arange(11) == 7, 1.5, 1)
    text = text_of(made(comparison([trace("torch", backend_points(totals=off)), trace("paddle")])))
    assert "Largest relative difference: torch 5.0e-01, paddle 1.0e-06" in text


@needs_its_libraries
def test_a_run_on_the_larger_scene_is_drawn_where_there_is_one():
    other = "run/d2l/photo"
    points = {**backend_points(), ("float32", other): {}, ("float64", other): {}}
    verdicts = [verdict("torch", case=other), verdict("torch"), verdict("torch", case=other)]
    assert [run.case for run in drawings.runs(comparison([trace("torch", points)], verdicts))] == [RUN]


@needs_its_libraries
def test_every_recipe_has_its_run_on_whatever_scene():
    verdicts = [verdict("torch", case=case) for case in ("run/one/photo", "run/two/photo", "step/three/photo")]
    assert [run.recipe for run in drawings.runs(comparison([trace("torch")], verdicts))] == ["one", "two"]


@needs_its_libraries
def test_a_difference_of_one_pixel_is_one_pixel_amplified():
    changed = image()
    changed[0, 1, 2, 3] += 1e-6
    _, one, difference = pictures_of(made(comparison([trace("torch", backend_points(image=changed))])))
    pixels = np.asarray(difference)
    assert one.size == difference.size == (8, 6)
    assert np.argwhere(np.abs(pixels.astype(int) - 128).max(axis=-1) > 1).tolist() == [[2, 3]]


@needs_its_libraries
def test_how_far_a_picture_is_off_is_said_in_steps_and_in_floats():
    changed = image() * 0
    oracle = trace("oracle", oracle_points(image=changed.copy()))
    changed[0, 0, 0, 0] = 0.5
    text = text_of(made(comparison([trace("torch", backend_points(image=changed))], oracle=oracle)))
    # 0.5 deviations of the red channel, 0.229 each.
    assert "At most 29 steps of 1/255 apart, 0.5 in normalized floats; 1 of 144 values differs once rounded to 8 bits." in text


@needs_its_libraries
def test_equal_pictures_are_said_to_be_equal():
    text = text_of(made(comparison([trace("torch", backend_points(image=image()))])))
    assert "× 1 At most 0 steps of 1/255 apart, 0 in normalized floats; none of 144 values differ" in text


@needs_its_libraries
def test_every_picture_says_what_it_is():
    markup = made(comparison())
    alternatives = [value for tag, name, value in Tree(markup).attributes if (tag, name) == ("img", "alt")]
    assert len(alternatives) == len(pictures_of(markup)) == 5
    assert "d2l after the short run, by paddle" in alternatives
    assert "Difference of paddle from the oracle, amplified 10³ times" in alternatives


@needs_its_libraries
def test_the_users_own_settings_of_matplotlib_change_nothing():
    import matplotlib

    plain = page.as_html(comparison())
    with matplotlib.rc_context({"svg.fonttype": "path", "font.size": 30, "text.color": "red", "axes.edgecolor": "red"}):
        assert page.as_html(comparison()) == plain


# A file that asks nothing of anybody


@needs_its_libraries
def test_it_parses_and_no_two_identifiers_are_equal():
    tree = Tree(made(rich()))
    assert (tree.unfit, tree.open) == ([], [])
    assert len(set(tree.values("id"))) == len(tree.values("id")) > 0


@needs_its_libraries
def test_every_reference_within_it_leads_somewhere():
    markup = made(comparison())
    found = set(re.findall(r'(?:url\(|href=")#([^)"]*)', markup))
    assert found
    assert found <= set(Tree(markup).values("id"))


@needs_its_libraries
def test_it_loads_nothing_from_elsewhere():
    markup = made(comparison())
    assert not re.search(r"https?:|@import|url\((?!#)|<script|<link|srcset|\ssrc=\"(?!data:image/png)", markup)


@needs_its_libraries
def test_it_forbids_the_browser_to_load_or_run_anything():
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in made(comparison())


@needs_its_libraries
def test_what_a_trace_says_is_shown_and_not_obeyed():
    plain, hostile = made(rich()), made(rich(HOSTILE, HOSTILE))
    assert Tree(hostile).tags == Tree(plain).tags
    assert HOSTILE in html.unescape(hostile)
    assert "<script>" not in hostile


@needs_its_libraries
def test_two_pages_of_one_comparison_are_the_same():
    assert page.as_html(rich()) == page.as_html(rich())


@needs_its_libraries
def test_half_a_character_in_a_trace_does_not_stop_it():
    assert "torch?" in made(comparison([trace("torch\ud800")]))


# Traces with something wrong

BAD_CURVES = {
    "none": (None, "torch has no 'totals' of this run"),
    "text": (np.array("loss"), "and no numbers"),
    "another shape": (np.ones(3), "torch has 'totals' of shape (3,), and should have (11,)"),
    "a single number": (np.array(1.0), "of shape (), and should have (11,)"),
    "NaN": (np.where(np.arange(11) > 8, np.nan, totals()), "torch: 2 of 11 losses are not finite"),
    "nothing finite": (np.full(11, np.inf), "torch: 11 of 11 losses are not finite"),
    "immense": (np.full(11, 1e300), "torch: 11 of 11 losses are not finite"),
}
BAD_PICTURES = {
    "none": (None, "torch has no 'image' of this run"),
    "text": (np.array("picture"), "and no numbers"),
    "another shape": (image(size=(6, 9)), "torch has 'image' of shape (1, 3, 6, 9), and should have (1, 3, 6, 8)"),
    "flat": (np.ones(144), "of shape (144,)"),
    "NaN": (np.where(image() > 2, np.nan, image()), "values that are not finite"),
    "immense": (np.full((1, 3, 6, 8), 1e300), "with 144 of 144 values that are not finite"),
}


@needs_its_libraries
@pytest.mark.parametrize("case", BAD_CURVES)
def test_losses_that_make_no_curve_are_told_and_the_others_drawn(case):
    losses, says = BAD_CURVES[case]
    markup = made(comparison([trace("torch", backend_points(totals=losses)), trace("paddle")]))
    assert says in text_of(markup)
    assert "paddle 1.0e-06" in text_of(markup)
    assert markup.count("relative difference</text>") == 2


@needs_its_libraries
@pytest.mark.parametrize("case", BAD_PICTURES)
def test_values_that_make_no_picture_are_told_and_the_others_shown(case):
    values, says = BAD_PICTURES[case]
    markup = made(comparison([trace("torch", backend_points(image=values)), trace("paddle")]))
    assert says in text_of(markup)
    assert len(pictures_of(markup)) == 3


@needs_its_libraries
@pytest.mark.parametrize("losses", [None, np.array("x"), np.full(11, np.nan), np.array(1.0), np.ones((11, 2)), np.ones(0)])
def test_an_oracle_without_losses_leaves_out_the_curves_and_says_so(losses):
    oracle = trace("oracle", {("float64", RUN): {"image": image(), **({} if losses is None else {"totals": losses})}})
    markup = made(comparison(oracle=oracle))
    assert "oracle has" in text_of(markup)
    assert "relative difference</text>" not in markup


@needs_its_libraries
@pytest.mark.parametrize(
    "values", [None, np.array("x"), image() * np.nan, np.ones(5), np.ones((1, 3, 0, 4)), np.ones((1, 1, 4, 4))]
)
def test_an_oracle_without_a_picture_leaves_out_the_pictures_and_says_so(values):
    oracle = trace("oracle", {("float64", RUN): {"totals": totals(), **({} if values is None else {"image": values})}})
    markup = made(comparison(oracle=oracle))
    assert "oracle has" in text_of(markup)
    assert pictures_of(markup) == []


@needs_its_libraries
@pytest.mark.parametrize("losses", [np.zeros(11), np.full(11, 5.0), np.full(11, -3.0), np.full(1, 7.0), np.full(11, 1e99)])
def test_odd_losses_of_the_oracle_are_drawn(losses):
    markup = made(comparison(oracle=trace("oracle", oracle_points(totals=losses))))
    assert "relative difference</text>" in markup


@needs_its_libraries
def test_an_error_of_a_backend_stands_where_its_curve_and_picture_would():
    failed = verdict("torch", "FAIL", math.nan, point="", why="the backend raised out of memory", tolerance="")
    text = text_of(made(comparison([trace("torch", error="out of memory")], [failed])))
    assert text.count("torch raised out of memory") == 2


@needs_its_libraries
def test_a_trace_that_recorded_nothing_still_gives_a_page():
    found = comparison([trace("torch", {})], [verdict("torch", "MISSING", math.nan, point="", tolerance="")])
    assert "run float32 MISSING" in text_of(made(found))


@needs_its_libraries
def test_a_run_json_that_says_little_still_gives_a_page():
    strange = Trace({"backend": "torch", "specification": None, "versions": ["x"], "cases": []}, {})
    assert "torch" in text_of(made(comparison([strange], [])))


@needs_its_libraries
def test_without_runs_there_are_no_curves_and_no_pictures():
    found = comparison(verdicts=[verdict("torch", kind="gram", case="gram/chw", point="map", tolerance="Gram matrix alone")])
    assert "No run was compared, so there are no loss curves and no pictures." in text_of(made(found))


@needs_its_libraries
def test_one_backend_is_enough():
    text = text_of(made(comparison([trace("torch")])))
    assert "oracle torch oracle - 0.1 torch 0.1 -" in text


@needs_its_libraries
def test_problems_alone_are_a_page():
    text = text_of(made(comparison([], problems=["torch: recording ended with signal 11"])))
    assert "FAIL DOES NOT CONFORM: torch: recording ended with signal 11" in text
    assert "Nothing was compared." in text


@needs_its_libraries
def test_a_trace_of_another_specification_is_not_drawn_beside_the_others():
    other = trace("paddle", specification="fedcba9876543210")
    markup = made(comparison([trace("torch"), other], [verdict("torch")], problems=["another specification"]))
    assert "specification 0123456789ab 0123456789ab fedcba987654" in text_of(markup)
    assert len(pictures_of(markup)) == 3


@needs_its_libraries
def test_more_recipes_than_fit_are_cut_off(monkeypatch):
    monkeypatch.setattr(drawings, "MAX_RUNS", 2)
    verdicts = [verdict("torch", case=f"run/{i}/photo") for i in range(5)]
    assert len(list(drawings.runs(comparison([trace("torch")], verdicts)))) == 2


@needs_its_libraries
def test_a_picture_too_large_for_a_page_is_told(monkeypatch):
    monkeypatch.setattr(drawings, "MAX_PIXELS", 40)
    assert "oracle has an 'image' of shape (1, 3, 6, 8), which makes no picture" in text_of(made(comparison()))


# In a browser


@pytest.fixture(scope="module")
def chromium():
    """Chromium's command, or a skip with the reason; ISOSTYLE_TEST_CHROMIUM makes it fail."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        reason = f"there is none of {', '.join(CHROMIUMS)}"
        if os.environ.get("ISOSTYLE_TEST_CHROMIUM"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@dataclasses.dataclass
class Seen:
    """What a browser made of a page."""

    dom: str
    messages: str
    screenshot: Image.Image


#: A frame as wide as a phone with the page in it, and what is found there once it stands.
PHONE = """<!DOCTYPE html><title>waiting</title>
<iframe style="width: 400px; height: 3000px; border: 0"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {
  const inner = frame.contentDocument;
  const broken = [...inner.images].filter((one) => !one.complete || !one.naturalWidth).length;
  const out = inner.documentElement.scrollWidth - inner.documentElement.clientWidth;
  document.title = `${inner.images.length} images, ${broken} broken, ${out} pixels out`;
};
frame.srcdoc = new TextDecoder().decode(Uint8Array.from(atob("PAGE"), (one) => one.charCodeAt(0)));
</script>"""


def browse(chromium, file, folder, *options):
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    command += [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", *options, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)


@pytest.fixture(scope="module")
def seen(chromium, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.html").write_bytes(page.as_html(rich(HOSTILE, HOSTILE)))
    dumped = browse(chromium, folder / "page.html", folder, "--dump-dom")
    options = ("--hide-scrollbars", "--window-size=1200,2000", f"--screenshot={folder / 'page.png'}")
    shown = browse(chromium, folder / "page.html", folder, *options)
    with Image.open(folder / "page.png") as screenshot:
        return Seen(dumped.stdout, dumped.stderr + shown.stderr, screenshot.convert("RGB"))


@needs_its_libraries
def test_a_browser_shows_the_verdict_and_the_matrix(seen):
    text = text_of(seen.dom)
    assert "FAIL DOES NOT CONFORM: 3 of 8 points" in text
    assert re.search(r"run float32 MISSING 0\.7 \S+ \S+ float64 - 2\.5e\+05 FAIL", text)


@needs_its_libraries
def test_a_browser_has_nothing_to_complain_of(seen):
    assert [line for line in seen.messages.splitlines() if ":CONSOLE" in line] == []


@needs_its_libraries
def test_a_browser_paints_more_than_an_empty_page(seen):
    colors = seen.screenshot.getcolors(maxcolors=seen.screenshot.width * seen.screenshot.height)
    assert seen.screenshot.size == (1200, 2000)
    assert len(colors) > 100


@needs_its_libraries
def test_on_a_phone_nothing_sticks_out_and_no_picture_is_broken(chromium, tmp_path):
    data = base64.b64encode(page.as_html(rich("n" * 200, "text" * 100))).decode()
    (tmp_path / "phone.html").write_text(PHONE.replace("PAGE", data))
    found = browse(chromium, tmp_path / "phone.html", tmp_path, "--virtual-time-budget=20000", "--dump-dom")
    assert "<title>3 images, 0 broken, 0 pixels out</title>" in found.stdout
