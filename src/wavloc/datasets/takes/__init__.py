"""Takes of a carried loudspeaker: what LuViRA and its twin share, and reading recordings."""
