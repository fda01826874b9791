"""How methods look."""

from __future__ import annotations

import itertools
from pathlib import Path

from wavloc import config
from wavloc.reporting import style


def test_every_method_has_a_look_of_its_own():
    styles = [style.method_style(place) for place in range(32)]
    assert len({tuple(look.values()) for look in styles}) == 32
    for two in itertools.combinations(("color", "linestyle", "marker"), 2):  # or in grey
        assert len({tuple(look[key] for key in two) for look in styles}) == 32
    for one, two in itertools.pairwise(styles):
        assert not set(one.values()) & set(two.values())


def test_the_most_shown_methods_have_a_colour_of_their_own(root: Path) -> None:
    methods = config.load(root / "config" / "config.yaml")["methods"]
    places = config.places(methods)
    shown = [name for name, entry in methods.items() if entry["localizes"]]
    assert sorted(places.values()) == list(range(len(shown)))
    first = ["multilat", "multilat_ngcc", "dinn", "gnn", "wav2pos", "multilat_plus"]
    assert len({style.method_style(places[name])["color"] for name in first}) == len(first)
