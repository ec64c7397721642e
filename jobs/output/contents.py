"""What the files of a model hold, in a few digits: by its name alone, a model trained again would pass for the old."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from jobs.config.model import Lora, Model
from jobs.paths import packaged

CALIBRATION = "teacache.json"
"""As `teacache` calls what `calibrate` leaves beside the weights; to ask it would import torch."""

_HEEDED = frozenset({".json", ".model", ".safetensors", ".txt"})
_PIECES, _PIECE = 64, 4096
"""Of a large file so many pieces of so many bytes are read, evenly spread: training moves all weights."""


def weights(model: Model) -> str | None:
    """Of a pipeline and LoRAs in folders here; None for what the hub keeps, where `revision` tells."""
    found = [*_files(Path(packaged(model.pipeline))), *(file for lora in model.lora for file in _lora(lora))]
    return _digest(found) if found else None


def calibration(model: Model) -> str | None:
    """Of the file that the cache's decisions follow from; None where they follow from its settings alone."""
    given = model.cache.model_extra or {}
    asks = model.cache.method == "teacache" and not {"coefficients", "published"} & {k for k, v in given.items() if v}
    if not asks and not (model.cache.method == "schedule" and given.get("computed")):
        return None
    folder = Path(packaged(model.pipeline))
    places = [Path(given["calibration"])] if given.get("calibration") else [folder / "transformer", folder]
    files = (place / CALIBRATION if place.is_dir() else place for place in places)
    found = next((file for file in files if file.is_file()), None)
    return _digest([(CALIBRATION, found)]) if found else None


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
        inside = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if file.suffix in _HEEDED and file.name != CALIBRATION and not hidden and file.is_file():
            yield inside.as_posix(), file


def _lora(lora: Lora) -> Iterator[tuple[str, Path]]:
    place = Path(lora.weights)
    file = place / lora.weight_name if lora.weight_name and place.is_dir() else place
    return iter([(file.name, file)]) if file.is_file() else _files(file)


def _digest(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        size = path.stat().st_size
        digest.update(f"{name} {size}\0".encode())
        with path.open("rb") as file:
            if size <= _PIECES * _PIECE:
                digest.update(file.read())
                continue
            for piece in range(_PIECES):
                file.seek(piece * (size - _PIECE) // (_PIECES - 1))
                digest.update(file.read(_PIECE))
    return digest.hexdigest()[:16]
