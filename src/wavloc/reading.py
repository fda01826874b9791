"""How results are read: the same words in the README, in the report and in `wavloc --help`."""

READING = (
    "In setup 1a a method gets the signals and positions of M microphones, in 1b the signal at the "
    "source too; in 2a and 2b it hears all microphones but knows the positions of only M. M "
    "microphones are drawn for each frame, the same for all methods. An error is the distance in "
    "3-D, cut at 3 m; a frame without a position, or where the method gives up, counts as 3 m and "
    "in the failure rate. acc@30 is the share of frames below 30 cm. ± is half of the 95 % "
    "bootstrap interval."
)
