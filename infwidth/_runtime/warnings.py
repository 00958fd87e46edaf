"""Warnings that name the user's line."""

import sys
import warnings

_INSIDE = {"infwidth", "sklearn", "joblib"}  # callbacks wrap fits, searches call them


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn, at the line outside of this package and of what scikit-learn puts around it that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
