"""Draw the positions of the songs over time and from above: map.py POSITIONS.csv MAP.png."""

import sys
from pathlib import Path

import pandas as pd

from wavloc.recordings import microphones
from wavloc.reporting.figures.located import located

folder = Path(__file__).parent
array = microphones.read(folder / "mics.csv")
found = pd.read_csv(sys.argv[1])
found["time_s"] = pd.read_csv(folder / "songs.csv")["from_s"]
located(found, array.names, array.positions, sys.argv[2])
