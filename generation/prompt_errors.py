"""Why a prompt cannot be painted."""

from contracts import InvalidInputError


class PromptError(InvalidInputError):
    """A prompt cannot be painted as it is; ``reason`` is the dead letter's short code."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
