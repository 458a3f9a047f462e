"""scikit-learn models by skops: read back without running anything but the constructors of trusted libraries.

skops writes memory addresses and the clock into its archive; both are taken out, so that equal models have equal bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from stages.codecs.base import Payload, Scratch, comes_from, in_memory
from stages.errors import NoCodec, Undecodable

TRUSTED_PACKAGES = {"sklearn", "numpy", "scipy"}
# scikit-learn keeps some for categorical features; skops lists the function inside by itself, so it is checked too.
TRUSTED_TYPES = {"functools.partial"}
SCHEMA = "schema.json"


class EstimatorCodec:
    """See the module."""

    name = "skops"
    values = "scikit-learn estimators (stored by skops)"
    reads_files = False

    def takes(self, kind: type) -> bool:
        """See `Codec`."""
        return comes_from(kind, "sklearn", "BaseEstimator")

    def encode(self, value: Any, scratch: Scratch) -> tuple[str, Payload]:
        """See `Codec`."""
        from skops import io as skops
        from skops.io.exceptions import UnsupportedTypeException

        try:
            data = _settled(skops.dumps(value))
        except UnsupportedTypeException as error:
            raise NoCodec(f"skops cannot store it ({error})") from error
        _, strange = _types_in(data)
        if strange:
            raise NoCodec(
                f"it holds {', '.join(strange)}, and only types of {', '.join(sorted(TRUSTED_PACKAGES))} are loaded "
                f"again: keep your own code in a stage, and return the fitted scikit-learn estimator"
            )
        return self.name, data

    def decode(self, label: str, payload: Payload, wanted: Any, scratch: Scratch) -> Any:
        """See `Codec`."""
        from skops import io as skops

        data = in_memory(payload)
        trusted, strange = _types_in(data)
        if strange:
            raise Undecodable(f"a stored model holds types that are not trusted: {', '.join(strange)}")
        return skops.loads(data, trusted=trusted)


CODEC = EstimatorCodec()


def _types_in(data: bytes) -> tuple[list[str], list[str]]:
    """The types in an archive that skops itself does not trust: those that we do, and those that nobody does."""
    from skops import io as skops

    found: list[str] = skops.get_untrusted_types(data=data)
    trusted = [one for one in found if one in TRUSTED_TYPES or one.partition(".")[0] in TRUSTED_PACKAGES]
    return trusted, [one for one in found if one not in trusted]


def _settled(data: bytes) -> bytes:
    """The archive with addresses replaced by counting, in the order they are met, and no time in it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(content.pop(SCHEMA))
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}
    _renumber(schema, numbers, files)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, SCHEMA, json.dumps(schema).encode())
        for old, new in files.items():
            _add(archive, new, content[old])
    return written.getvalue()


def _renumber(node: Any, numbers: dict[int, int], files: dict[str, str]) -> None:
    """Walk the schema. A leaf of plain JSON has an identity only by chance (interned text), so it loses its own."""
    if isinstance(node, list):
        for one in node:
            _renumber(one, numbers, files)
    if not isinstance(node, dict):
        return
    if node.get("__loader__") == "JsonNode":
        node.pop("__id__", None)
    elif isinstance(node.get("__id__"), int):
        node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
    file = node.get("file")
    if isinstance(file, str) and "__loader__" in node:
        node["file"] = files.setdefault(file, f"{len(files)}{file[file.rfind('.') :]}")
    for one in node.values():
        _renumber(one, numbers, files)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
