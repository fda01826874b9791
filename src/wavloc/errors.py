"""Errors that the command line prints as one line."""


class WavlocError(Exception):
    """Base of all errors that are meant for the user."""

    exit_code = 1


class InputError(WavlocError):
    """Wrong usage or input; names file or field, value and what is expected (exit code 2)."""

    exit_code = 2


class WorkError(WavlocError):
    """A failure at work, such as a full disk or a missing download (exit code 1)."""


class Refusal(InputError):
    """A method cannot treat such frames at all, for example with too few microphones."""
