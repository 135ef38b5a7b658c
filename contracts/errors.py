"""The one exception tree of Backdrop."""


class BackdropError(Exception):
    """Base of every error that Backdrop raises on purpose."""


class InvalidInputError(BackdropError, ValueError):
    """A value from outside (row, request, file, argument) breaks a stated limit."""


class SettingsError(BackdropError):
    """A setting is missing, contradictory, or disagrees with what is stored."""


class FormatError(BackdropError):
    """Bytes are not what the stored format says: wrong version, schema, type or length."""


class FormatVersionError(FormatError):
    """Bytes say that they are of another format, or of another version of it, than this code reads."""


class TokenError(BackdropError):
    """A token is forged, truncated, or sealed with a key that is no longer kept."""


class StoreError(BackdropError):
    """A store (Redis, event log, object store) did not do what was asked."""


class UnavailableError(StoreError):
    """A store could not be reached or did not answer in time; trying again later may help."""


class MissingObjectError(StoreError):
    """The object store answered: it has no such object."""


class GapError(StoreError):
    """The event log no longer holds entries that a learner or replay must read."""


class LineageError(BackdropError):
    """A lineage's fingerprint, watermark or owner is not what the caller holds."""


class NumericalError(BackdropError, ArithmeticError):
    """Numbers left the range in which sums are exact or solvable."""


class SetupError(BackdropError):
    """The machine lacks something; the message says what and what to do."""
