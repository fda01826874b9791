"""The two ways a command can end badly; both are printed as one line by the command line."""


class WavlocError(Exception):
    """Base of all errors that are meant for the person at the keyboard."""

    exit_code = 1


class InputError(WavlocError):
    """Bad usage or input: names file or field, value and expectation (exit code 2)."""

    exit_code = 2


class WorkError(WavlocError):
    """Something failed while working: a full disk, a missing download (exit code 1)."""


class Refusal(InputError):
    """A method cannot treat such frames at all, for example for want of microphones."""
