"""What the unit tests share."""

import hypothesis
import pytest

from icl_nb.checks import TOLERANCE

# The same examples in every run: a failure that nobody can repeat helps nobody. Search wider with
# --hypothesis-profile=explore; quick is for `make mutants`, which runs the tests hundreds of times.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "quick",
    hypothesis.settings.get_profile("repeatable"),
    max_examples=10,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],  # any failure will do, the simplest is not sought
)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(params=TOLERANCE, ids=str)
def dtype(request):
    """Each dtype that the package promises a tolerance for."""
    return request.param


@pytest.fixture
def tolerance(dtype) -> float:
    """Largest relative rounding error allowed in `dtype`; the one place for such numbers is `icl_nb.symmetry`."""
    return TOLERANCE[dtype]
