"""The one exception for mistakes that the person at the keyboard can mend."""


class UserError(Exception):
    """Bad input: the message says what is wrong and what to do, and is shown without a traceback."""


class CannotWriteError(UserError):
    """A file or folder cannot be written: the disk is full, or the place is read-only."""
