"""Methods by the entries of the configuration; nothing of a method is imported until it is made."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavloc import config as configuration
from wavloc import plugins
from wavloc.checks import one_of
from wavloc.errors import InputError

if TYPE_CHECKING:
    from wavloc.methods.base import Method


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the configuration says of a method; the keys are those of config.schema.yaml."""

    name: str
    module: str = ""  # empty = the name
    label: str = ""  # empty = the name
    paper_label: str | None = None
    reference: str = ""
    order: int = 100
    learned: bool = False
    control: bool = False
    localizes: bool = True
    input_types: str = "raw audio"
    permutation_invariant: bool = True
    variable_mics: bool = True
    from_delays: bool = False
    like: str | None = None
    model: str | None = None
    imported: bool = False
    pretrained: str | None = None
    start: str | None = None
    seed_name: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("module", "label"):
            object.__setattr__(self, key, getattr(self, key) or self.name)

    @property
    def kind(self) -> str:
        """``learned``, ``control`` or ``classical``."""
        return "learned" if self.learned else "control" if self.control else "classical"

    @property
    def trained_as(self) -> str:
        """Entry whose training makes the model that this one uses."""
        return self.model or self.name

    def changed(self, values: Mapping[str, Any]) -> Entry:
        """The entry with other values; its options are kept where they are not stated anew."""
        known = {field.name for field in dataclasses.fields(self)} - {"name"}
        for key in values:
            if key not in known:
                raise InputError(
                    f"methods.{self.name}: unknown key '{key}', expected one of "
                    f"{', '.join(sorted(known))} "
                    f'(an option of the method: {{"options": {{"{key}": ...}}}})'
                )
        if not isinstance(values.get("options", {}), Mapping):
            raise InputError(f"methods.{self.name}.options: expected names and values")
        options = {**self.options, **values.get("options", {})}
        return dataclasses.replace(self, **dict(values) | {"options": options})


def entries(config: Mapping[str, Any]) -> dict[str, Entry]:
    """Methods of a resolved configuration by name, in the order of the rows."""
    made = [Entry(name, **values) for name, values in config["methods"].items()]
    return {entry.name: entry for entry in sorted(made, key=lambda e: (e.order, e.name))}


@functools.cache
def shipped() -> dict[str, Entry]:
    """The entries of wavloc's own config folder, with networks of full size."""
    return entries(configuration.resolve({}))


def named(name: str, known: Mapping[str, Entry] | None = None) -> Entry:
    """An entry by name, of those given or the shipped ones; a module's name does as well."""
    listed = shipped() if known is None else known
    if name in listed:
        return listed[name]
    return Entry(one_of(name, sorted({*listed, *modules()}), "unknown method"))


def listed(known: Mapping[str, Entry]) -> list[Entry]:
    """Those entries, and one for each module that none of them uses."""
    used = {entry.module for entry in known.values()}
    return [*known.values(), *(Entry(name) for name in modules() if name not in used)]


def modules() -> dict[str, str]:
    """Modules of all methods by name -> import path."""
    return plugins.modules("methods")


def method_class(module: str) -> type[Method]:
    """The class ``Method`` of a module."""
    return plugins.plugin_class("methods", module)


def create(entry: Entry, seed: int = 0) -> Method:
    """A method, untrained where it learns."""
    method = method_class(entry.module)(entry.options, entry.name, seed, entry.seed_name)
    method.from_delays = entry.from_delays
    return method


def load(entry: Entry, folder: str | Path) -> Method:
    """A method with its trained model, which brings the options of its training."""
    method = method_class(entry.module).load(folder, entry.options)
    method.name, method.from_delays = entry.name, entry.from_delays
    return method


def ready(entry: Entry, folder: Path | None, seed: int, device: str) -> Method:
    """A method of its entry, or with the model of a folder, that computes on a device of torch."""
    method: Any = load(entry, folder) if folder else create(entry, seed)
    if hasattr(method, "to"):
        from wavloc import devices

        method.to(devices.choose_device(device))
    return method
