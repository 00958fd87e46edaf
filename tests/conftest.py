"""Fitted models that several files of tests look at."""

import pytest
from classification_cases import NETWORK, X, y

from infwidth import InfiniteNetClassifier


@pytest.fixture(scope="session")
def averaged():
    """The default: learned networks, averaged."""
    return InfiniteNetClassifier(random_state=0).fit(X, y)


@pytest.fixture(scope="session")
def learned():
    """One learned network."""
    return InfiniteNetClassifier(NETWORK, random_state=0).fit(X, y)
