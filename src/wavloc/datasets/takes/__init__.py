"""Eight takes of a carried loudspeaker: what the real recordings and their twin have in common,
and how the recordings are read.
"""
