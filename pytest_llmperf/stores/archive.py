"""Baselines behind a URL: an archive of a baselines directory, fetched and unpacked."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import httpx

from pytest_llmperf.client.redact import safe_url
from pytest_llmperf.core.errors import LlmPerfUsageError

#: What an archive may weigh, packed and unpacked: 50 scenarios with 5 runs of 200 samples take 3 MB.
MOST_BYTES = 256 * 2**20
_TIMEOUT_S = 30.0
#: RuntimeError: a password is wanted, or the compression is none of zipfile's.
_UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)
_DEPTH = 3  #: SCENARIO/ENVIRONMENT/RUN.json, see `directory`
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]*")  #: of such a folder or file


def fetch(url: str, directory: Path) -> None:
    """Fill *directory* with the baselines in the archive (.zip, or .tar however compressed) at *url*.

    A user and password in the URL are sent as Basic authorization. The archive may hold other files, and the
    baselines in any folder.

    Raises LlmPerfUsageError, which names the URL without its secrets, where there is no such archive.
    """
    name = f"--llm-baseline: {safe_url(url)}"
    found = 0
    try:
        for path, data in _files(_download(url)):
            target = directory.joinpath(*PurePosixPath(path).parts[-_DEPTH:])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            found += 1
    except httpx.HTTPStatusError as error:
        raise LlmPerfUsageError(f"{name} answered with {error.response.status_code}.") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise LlmPerfUsageError(f"{name} cannot be fetched: {type(error).__name__}.") from None
    except (*_UNREADABLE, _TooBigError) as error:
        why = str(error).partition("\n")[0].rstrip(":") or type(error).__name__
        raise LlmPerfUsageError(
            f"{name} cannot be unpacked: {why}. Expected a .zip or .tar.gz of .llmperf/baselines."
        ) from None
    if not found:
        raise LlmPerfUsageError(
            f"{name} holds no baseline. Expected a .zip or .tar.gz of .llmperf/baselines, with its folders."
        )


class _TooBigError(Exception):
    """More than anybody's baselines."""

    def __init__(self) -> None:
        super().__init__(f"it is larger than {MOST_BYTES >> 20} MiB")


def _download(url: str) -> bytes:
    packed = bytearray()
    with httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT_S) as response:
        response.raise_for_status()
        for piece in response.iter_bytes():
            packed += piece
            if len(packed) > MOST_BYTES:
                raise _TooBigError
    return bytes(packed)


def _files(packed: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and content of each stored run in an archive."""
    left = MOST_BYTES
    for path, size, read in _members(packed):
        parts = PurePosixPath(path).parts
        if len(parts) < _DEPTH or not path.endswith(".json") or ".." in parts:
            continue
        if not all(map(_NAME.fullmatch, parts[-_DEPTH:])):  # the root of an absolute path, or a drive
            continue
        left -= size
        if left < 0:
            raise _TooBigError
        yield path, read()


def _members(packed: bytes) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Path, size and reader of each regular file; neither kind of archive gives more than the size."""
    file = io.BytesIO(packed)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield info.filename, info.file_size, partial(archive.read, info)
        return
    file.seek(0)
    with tarfile.open(fileobj=file) as archive:
        for member in filter(tarfile.TarInfo.isreg, archive):
            if (content := archive.extractfile(member)) is not None:
                yield member.name, member.size, content.read
