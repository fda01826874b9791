"""Metadata of a dataset's frames for machines: Croissant 1.0 (JSON-LD, MLCommons 2024).

Every file of every track is listed with its checksum; the tables of frames are record sets, which
readers of Croissant can load. No date is stated: the same frames give the same bytes.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from wavloc import __version__, files
from wavloc.arrays import read_npy
from wavloc.frames import ARRAYS, OPTIONAL, load

# The standard context of Croissant 1.0.
_OWN = (
    *("citeAs", "column", "extract", "field", "fileProperty", "fileObject", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
    *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source"),
    *("subField", "transform", "equivalentProperty"),
)
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
} | {key: f"cr:{key}" for key in _OWN}
MEANING = {
    "audio": "signals of the microphones (frames, microphones, samples)",
    "source_audio": "signal at the source (frames, samples); NaN = unknown",
    "mic_positions": "positions of the microphones in metres; NaN = unknown",
    "source_position": "positions of the source in metres; NaN = unknown",
    "arrivals": "times of arrival in seconds (frames, microphones); NaN = missing, any zero",
}
TYPES = {"b": "sc:Boolean", "i": "sc:Integer", "u": "sc:Integer", "f": "sc:Float"}


def describe(
    name: str, entry: Mapping[str, str], tracks: Mapping[str, Path], base: Path
) -> dict[str, Any]:
    """Croissant of the frames of a dataset; addresses of files are relative to the folder base.

    entry: ``label``, ``reference``, ``licence`` and, where there is one, ``url``.
    """
    listed: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for track, folder in tracks.items():
        load(folder)  # a damaged folder is named here
        listed += [_file(track, path, base) for path in sorted(folder.iterdir())]
        table = pq.read_schema(folder / "frames.parquet").empty_table().to_pandas()
        records.append(_records(track, table))
    text = f"Frames of {entry['label']}: {', '.join(tracks)}. {entry['reference']}."
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": text,
        "license": entry["licence"],
        "citeAs": entry["reference"],
        "version": __version__,
        **({"url": entry["url"]} if entry.get("url") else {}),
        "distribution": listed,
        "recordSet": records,
    }


def _file(track: str, path: Path, base: Path) -> dict[str, Any]:
    """One file of a track."""
    formats = {".parquet": "application/x-parquet", ".json": "application/json"}
    made = {
        "@type": "cr:FileObject",
        "@id": f"{track}/{path.name}",
        "name": f"{track}/{path.name}",
        "contentUrl": Path(os.path.relpath(path, base)).as_posix(),
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": formats.get(path.suffix, "application/octet-stream"),
        "sha256": files.sha256(path),
    }
    if path.stem in (*ARRAYS, *OPTIONAL):
        array = read_npy(path)
        kind = f"NumPy array {array.shape}, {array.dtype}"
        made["description"] = f"{MEANING[path.stem]}; {kind}"
    return made


def _records(track: str, table: pd.DataFrame) -> dict[str, Any]:
    """The table of a track, a field for each column."""
    source = {"@id": f"{track}/frames.parquet"}
    return {
        "@type": "cr:RecordSet",
        "@id": track,
        "name": track,
        "description": "one record for each frame, in the order of the arrays",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{track}/{column}",
                "name": f"{track}/{column}",
                "dataType": TYPES.get(table[column].dtype.kind, "sc:Text"),
                "source": {"fileObject": source, "extract": {"column": column}},
            }
            for column in table.columns
        ],
    }
