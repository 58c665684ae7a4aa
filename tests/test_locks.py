"""The locked versions in requirements/, which tox installs: does each file fit pyproject.toml, and can it be used anywhere?"""

import configparser
import re
import runpy
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "requirements"
LOCKS = runpy.run_path(str(ROOT / "scripts" / "lock.py"))["LOCKS"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: Where the locks are for: markers that name anything else are not evaluated.
LINUX = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "platform_machine": "x86_64",
    "sys_platform": "linux",
    "extra": "",
}


def pins(file):
    """Versions by package."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    found = [Requirement(line) for line in lines if line]
    assert all(len(pin.specifier) == 1 and str(pin.specifier).startswith("==") for pin in found)
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in found}


def wanted(extras):
    """What pyproject.toml asks for with these extras; extras that it has of itself are followed."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    for text in texts:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            yield from wanted(requirement.extras)
        elif requirement.marker is None or requirement.marker.evaluate(LINUX):
            yield requirement


@pytest.fixture(params=LOCKS)
def lock(request):
    return FOLDER / f"{request.param}.txt"


def test_each_lock_has_what_its_extras_ask_for_in_a_version_that_pyproject_allows(lock):
    found = pins(lock)
    for requirement in wanted(LOCKS[lock.stem]):
        name = canonicalize_name(requirement.name)
        assert name in found, f"{requirement} is not in {lock.name}: python scripts/lock.py"
        assert requirement.specifier.contains(found[name], prereleases=True), (
            f"{requirement}, and {lock.name} has {found[name]}"
        )


def test_no_lock_leaves_the_releases_that_are_held(lock):
    held = pins(FOLDER / "held.txt")
    found = pins(lock)
    assert {name: found[name] for name in held.keys() & found.keys()} == {
        name: held[name] for name in held.keys() & found.keys()
    }


def test_a_lock_names_no_index_no_digest_no_build_and_no_package_of_cuda_s(lock):
    """So that pip finds its packages wherever it is told to look, and takes torch's CPU build where there is one."""
    text = lock.read_text()
    assert not re.search(r"://|^-|--|@|\+|^(nvidia|cuda|triton)", text, flags=re.MULTILINE)


def test_numpy_is_held_below_1_24_only_where_mxnet_is():
    old = {name for name in LOCKS if tuple(map(int, pins(FOLDER / f"{name}.txt")["numpy"].split(".")[:2])) < (1, 24)}
    assert old == {name for name, extras in LOCKS.items() if "mxnet" in extras} == {"mxnet", "all"}


def test_every_environment_of_tox_has_the_lock_of_its_extras():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    environments = [name.strip() for name in tox["tox"]["env_list"].split(",")]
    for name in environments:
        section = tox[f"testenv:{name}"]
        extras = section.get("extras", tox["testenv"]["extras"])
        used = re.findall(r"PIP_CONSTRAINT = \{tox_root\}/requirements/(\w+)\.txt", section["set_env"]) or ["core"]
        asked = {canonicalize_name(extra.strip()) for extra in extras.split(",") if extra.strip()}
        everything = {requirement.name for requirement in wanted(LOCKS[used[0]])} | set(pins(FOLDER / f"{used[0]}.txt"))
        assert {requirement.name for requirement in wanted(asked)} <= everything, name
        assert set(section.get("deps", "").split()) <= everything, name


def test_environments_of_the_newest_releases_have_no_lock_and_are_not_run_by_default():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    newest = {name for name in tox.sections() if name.startswith("testenv:newest-")}
    assert newest == {"testenv:newest-torch", "testenv:newest-mxnet", "testenv:newest-paddle"}
    assert "newest" not in tox["tox"]["env_list"]
    assert not any("PIP_CONSTRAINT" in tox[name]["set_env"] or "{[testenv]set_env}" in tox[name]["set_env"] for name in newest)


def test_hooks_before_a_commit_have_the_ruff_of_ci():
    versions = re.findall(r"ruff==([0-9.]+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert set(versions) == {pins(FOLDER / "dev.txt")["ruff"]}
