"""Properties that anyone can point at their own code: each `check_*` takes callables and plain arrays, and raises `PropertyFailure`."""

from minigen.testing.failure import PropertyFailure, for_all, run_checks
from minigen.testing.gradients import check_gradients
from minigen.testing.maps import check_adjoint, check_score, check_vjp

__all__ = ["PropertyFailure", "check_adjoint", "check_gradients", "check_score", "check_vjp", "for_all", "run_checks"]
