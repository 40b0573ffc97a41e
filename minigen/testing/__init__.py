"""Properties that anyone can point at their own code: each `check_*` takes callables and plain arrays, and raises `PropertyFailure`.

The oracle of a check is a definition (an integral, a difference quotient, an enumeration), never the project's own code. No
check needs pytest; with hypothesis installed, those that draw cases report the smallest counterexample found.
"""

from minigen.testing.causal import check_causal
from minigen.testing.densities import check_density_normalises, check_sampler_matches
from minigen.testing.diffusion import check_diffusion_marginals
from minigen.testing.divergences import FAMILIES, Family, check_divergence, check_kl_closed_form
from minigen.testing.failure import PropertyFailure, for_all, run_checks
from minigen.testing.gradients import check_gradients
from minigen.testing.maps import check_adjoint, check_score, check_vjp
from minigen.testing.models import check_bijection, check_bound, check_em, check_metric
from minigen.testing.parametrize import parametrize_with_checks

__all__ = [
    "FAMILIES", "Family", "PropertyFailure", "check_adjoint", "check_bijection", "check_bound", "check_causal",
    "check_density_normalises", "check_diffusion_marginals", "check_divergence", "check_em", "check_gradients",
    "check_kl_closed_form", "check_metric", "check_sampler_matches", "check_score", "check_vjp", "for_all",
    "parametrize_with_checks", "run_checks",
]  # fmt: skip
