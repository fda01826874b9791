"""English sentences for the synthesised speech: a small grammar with separate phrases per split.

A sentence is a subject, a predicate and an adverbial of place or time. The splits share no phrase,
so that no sentence and few words of the test occur in training.
"""

import itertools

_PARTS: dict[str, tuple[str, str, str]] = {
    "train": (
        "The old gardener|My cousin|A tired nurse|The village baker|Her neighbour|One driver|"
        "The librarian|Our piano teacher|A curious student|The captain|That farmer|The new boy",
        "painted four chairs|repaired the bicycle|carried ripe apples|lost a pair of gloves|"
        "read the morning paper|bought bread and honey|found an unusual coin|opened every window|"
        "washed the muddy boots|told a long story|fed the hungry geese|folded clean towels",
        "behind the yellow barn|before the snow fell|near the railway|on a warm afternoon|"
        "at the forest's edge|while the kettle boiled|under the table|beside the frozen lake|"
        "after the market closed|in the shade of a tree|along the northern road|as it got dark",
    ),
    "valid": (
        "Two quiet sailors|The famous surgeon|His elder sister|A polite waiter|Some engineers|"
        "The mountain guide|An honest jeweller|Those children|The retired judge",
        "climbed steep ladders|borrowed seven blankets|watched the clouds|built a rope bridge|"
        "tasted spicy soup|dropped a silver spoon|played cards for matches|measured the fence|"
        "hid a box of chocolate",
        "during the storm|close to the harbour|with hardly any help|shortly after midnight|"
        "outside the cinema|in front of the palace|throughout the winter|upon a sandy hill|"
        "next to the fountain",
    ),
    "test": (
        "Every third visitor|Our clever uncle|The shy violinist|A group of tourists|"
        "The night watchman|Many weavers|Your former landlord|This brave explorer|The photographer",
        "wrote a cheerless letter|counted twenty swans|mended the torn curtain|"
        "ordered coffee and cream|discovered a tunnel|planted purple tulips|"
        "dreamed about whales|chose the cheapest ticket|polished an ancient mirror",
        "between two green doors|by the lantern's light|far away from home|on the steamboat|"
        "inside the stone chapel|since all was done|across the busy square|"
        "until the rain stopped|beyond the southern gate",
    ),
}


def sentences(split: str) -> list[str]:
    """All sentences of a split (train: 1728, valid and test: 729 each) in a fixed order."""
    parts = (part.split("|") for part in _PARTS[split])
    return [" ".join(phrases) + "." for phrases in itertools.product(*parts)]
