"""Names of takes as files, folders and lists write them."""

import re


def key(text: str) -> str:
    """What all spellings of a take share: ``music0001`` and ``Music 1`` are both ``music1``.

    Case, blanks, ``_``, ``-`` and zeros before the number at the end do not matter.
    """
    plain = re.sub(r"[\s_-]+", "", text).lower()
    return re.sub(r"(?<!\d)0+(?=\d+$)", "", plain)
