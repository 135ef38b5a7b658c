"""What can go wrong in set-up.

Apart from the tree in contracts/errors.py: set-up runs before numpy, which contracts needs, is installed.
"""


class SetupError(Exception):
    """A step could not be done; the message is one sentence that says what to do."""


class Interrupted(BaseException):
    """A signal asked the set-up to stop; derives from BaseException so that no error handler swallows it."""
