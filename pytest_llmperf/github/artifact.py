"""Files from another job's artifact, which whoever wrote that job's code could fill with anything."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.github.api import Api

#: Bytes of an artifact as it is downloaded, and of what is read out of it.
MOST_ZIPPED, MOST_READ = 32 * 2**20, 64 * 2**20
_MOST_FILES = 20_000


def read_member(api: Api, artifact: Mapping[str, Any], name: str) -> bytes:
    """The file *name* in *artifact*, and nothing else of it. Raises LlmPerfUsageError."""
    archive = _archive(api, artifact)
    try:
        return _read(archive, archive.getinfo(name), MOST_READ)
    except KeyError:
        raise LlmPerfUsageError(f"the artifact holds no {name}") from None


def extract(api: Api, artifact: Mapping[str, Any], into: Path) -> int:
    """Write the .json files of *artifact* below *into*: how many. Raises LlmPerfUsageError.

    No name leaves *into*, and no more is written than MOST_READ bytes.
    """
    archive, left, count = _archive(api, artifact), MOST_READ, 0
    for member in archive.infolist():
        path = into / member.filename
        if member.is_dir() or path.suffix != ".json":
            continue
        if not path.resolve().is_relative_to(into.resolve()):
            raise LlmPerfUsageError(
                f"the artifact names a file outside its folder: {member.filename[:200]!r}"
            )
        content = _read(archive, member, left)
        left -= len(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        count += 1
    return count


def _archive(api: Api, artifact: Mapping[str, Any]) -> zipfile.ZipFile:
    size = artifact["size_in_bytes"]
    if size > MOST_ZIPPED:
        raise LlmPerfUsageError(f"the artifact has {size} bytes; up to {MOST_ZIPPED} are read")
    content = api.download(f"actions/artifacts/{int(artifact['id'])}/zip", limit=MOST_ZIPPED)
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError) as error:
        raise LlmPerfUsageError(f"the artifact is no zip file: {error}") from None
    if len(archive.infolist()) > _MOST_FILES:
        raise LlmPerfUsageError(f"the artifact holds more than {_MOST_FILES} files")
    return archive


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    try:
        with archive.open(member) as file:
            content = file.read(limit + 1)
    # What zipfile raises for a file that was made to break it: bad sums, encryption, odd methods.
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise LlmPerfUsageError(f"the artifact cannot be unpacked: {error}") from None
    if len(content) > limit:
        raise LlmPerfUsageError(f"the artifact unpacks to more than {MOST_READ} bytes")
    return content
