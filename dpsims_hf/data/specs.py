"""What a data set's labels mean. A new data set is a JSON file, not code."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..image_processing_files import default_palette
from ..image_processing_semantic import SemanticImageProcessor


SPEC_FILE = "classes.json"
PRESETS = Path(__file__).parent / "label_presets"


@dataclass(frozen=True)
class DatasetSpec:
    """The label space of a data set: the only place where names, colours and void are written down.

    Args:
        name: Short name of the data set.
        labels: Name of every model label, void included; the position is the id.
        palette: One (r, g, b) per label, all different.
        void_label_id: The model label that means "unknown", or None.
        void_values: Raw values in label files that mean void.
        stuff_ids: Labels without instances: their `instance_offsets` are 0. Void always counts as stuff.
    """

    name: str
    labels: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    void_label_id: int | None = None
    void_values: tuple[int, ...] = ()
    stuff_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        illegal = [i for i in self.stuff_ids if not 0 <= i < self.num_labels]
        if illegal:
            raise ValueError(f"{self.name}: stuff_ids {illegal} are out of range: legal are 0..{self.num_labels - 1}")
        try:
            self.image_processor()  # one set of rules for label spaces, the processor's
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None

    @property
    def num_labels(self) -> int:
        """All model labels, void included."""
        return len(self.labels)

    @property
    def id2label(self) -> dict[int, str]:
        """Model label id -> name."""
        return dict(enumerate(self.labels))

    def image_processor(
        self, size: dict[str, int] | tuple[int, int] | None = None, size_divisor: int = 32, **kwargs: Any
    ) -> SemanticImageProcessor:
        """The processor of this label space; `size` is {"height", "width"} or (height, width)."""
        return SemanticImageProcessor(
            id2label=self.id2label,
            palette=[list(rgb) for rgb in self.palette],
            void_label_id=self.void_label_id,
            void_values=list(self.void_values),
            size=size,
            size_divisor=size_divisor,
            **kwargs,
        )

    @classmethod
    def from_json(cls, path: str | Path) -> "DatasetSpec":
        """Read a classes.json.

        Keys: `classes` (list of `id`, `name`, optional `color`, optional `is_thing`), optional `name`, `void_index`
        (the raw value that means void: one of the ids, or any other value, which then adds a last label),
        `void_values` (further raw values), `void_name`, `void_color`. Other keys are ignored.

        Raises:
            ValueError: missing or malformed file, ids that are not 0..n-1 each once, or a colour used twice.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file; write one with the classes' ids, names and colours") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: not readable as JSON ({error})") from None
        classes = content.get("classes") if isinstance(content, dict) else None
        if not isinstance(classes, list) or not classes:
            raise ValueError(f'{path}: "classes" must be a list of {{"id", "name", "color"}}')
        if any(not isinstance(c, dict) or not isinstance(c.get("id"), int) or "name" not in c for c in classes):
            raise ValueError(f'{path}: every entry of "classes" needs an integer "id" and a "name"')
        return cls(**_fields(content, sorted(classes, key=lambda c: c["id"]), path))

    @classmethod
    def from_folder(cls, data_dir: str | Path) -> "DatasetSpec":
        """The spec in DIR/classes.json."""
        return cls.from_json(Path(data_dir) / SPEC_FILE)

    def to_json(self, path: str | Path) -> None:
        """Write a classes.json that `from_json` reads back to an equal spec (void becomes one of the classes)."""
        classes = [
            {"id": i, "name": label, "color": list(rgb), "is_thing": i not in self.stuff_ids}
            for i, (label, rgb) in enumerate(zip(self.labels, self.palette, strict=True))
        ]
        content = {"name": self.name, "classes": classes, "void_index": self.void_label_id}
        content["void_values"] = list(self.void_values)
        Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _fields(content: dict[str, Any], classes: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """The fields of a spec from a parsed classes.json whose classes are sorted by id."""
    ids = [c["id"] for c in classes]
    if ids != list(range(len(ids))):
        raise ValueError(f"{path}: class ids must be 0..{len(ids) - 1}, each once; got {ids}")
    spare = default_palette(len(ids) + 1)
    labels = [str(c["name"]) for c in classes]
    palette = [tuple(int(v) for v in c.get("color") or spare[c["id"]]) for c in classes]
    stuff = [c["id"] for c in classes if not c.get("is_thing", True)]
    void_index = content.get("void_index")
    void_values = [int(value) for value in content.get("void_values", [])]
    void_label_id = void_index
    if void_index is not None and void_index not in ids:
        void_label_id = len(labels)
        labels.append(str(content.get("void_name", "void")))
        palette.append(tuple(int(v) for v in content.get("void_color") or spare[-1]))
        void_values = [int(void_index), *(value for value in void_values if value != void_index)]
    return {
        "name": str(content.get("name") or path.resolve().parent.name),
        "labels": tuple(labels),
        "palette": tuple(palette),
        "void_label_id": void_label_id,
        "void_values": tuple(void_values),
        "stuff_ids": tuple(stuff),
    }


def label_presets() -> dict[str, Path]:
    """The files of the known data sets' label spaces by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.json"))}


def load_label_preset(name_or_file: str | Path) -> DatasetSpec:
    """The label space of a known data set (a file in label_presets/), or of a classes.json."""
    known = label_presets()
    path = known.get(str(name_or_file), Path(name_or_file))
    if not path.is_file():
        raise ValueError(f"label preset {str(name_or_file)!r} is neither one of {', '.join(known)} nor a file")
    return DatasetSpec.from_json(path)


__all__ = ["SPEC_FILE", "DatasetSpec", "label_presets", "load_label_preset"]
