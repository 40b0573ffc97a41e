"""The planted bugs of the chapters on energies, for `tests.mutations`: {file: (tests, [(right, wrong), …])}."""

ENERGIES = {
    "models/rbm.py": ("tests/test_rbm.py", [
        ("visible_given(bernoulli(self.hidden_given(v), rng))", "visible_given(self.hidden_given(v))"),
        ("return RBM(self.weight.T, self.hidden, self.visible)", "return RBM(self.weight.T, self.visible, self.hidden)"),
        ('chains if method == "pcd" else v, rng, k)', 'chains if method == "pcd" else v, rng)'),
        ("return model.free_energy(v) - model.free_energy(negative)", "return model.free_energy(negative) - model.free_energy(v)"),
        ("smaller if self.visible.shape[0] <= self.hidden", "smaller if self.visible.shape[0] < self.hidden"),
    ]),
    "models/ebm.py": ("tests/test_ebm.py", [
        ("return x + 0.5 * eta**2 * score", "return x + eta**2 * score"),
        ("(x - y - 0.5 * eta**2 * s_y)", "(x - y - 0.5 * eta**2 * s)"),
        ("np.where(move, s_y, s)", "s_y"),
        ("np.fft.rfft(x, 2 * t, axis=0)", "np.fft.rfft(x, axis=0)"),
        ("buffer[slot : slot + size] = ends", "pass"),
        ("eta=None, adjust=True, slots", "eta=None, adjust=False, slots"),
    ]),
    "models/nce.py": ("tests/test_nce.py", [
        ("- log_q - math.log(ratio)", "- log_q"),
        ("np.sum(log_sigmoid(-noise), axis=0)", "np.mean(log_sigmoid(-noise), axis=0)"),
        ("return -self.model.energy(x) - self.log_z", "return -self.model.energy(x) + self.log_z"),
        ("np.all(log_q > -math.inf)", "np.any(log_q > -math.inf)"),
    ]),
    "models/score_matching.py": ("tests/test_score_matching.py", [
        ("+ eps / sigma) ** 2", "- eps / sigma) ** 2"),
        ("score(x + sigma * eps)", "score(x)"),
        ("axis=1) + directional(", "axis=1) - directional("),
        ("noise = normal(rng, x.shape, x)", "noise = normal(rng, x[0].shape, x) + 0 * x"),
    ]),
    "metrics/annealing.py": ("tests/test_metrics_annealing.py", [
        ("hidden=beta * rbm.hidden", "hidden=rbm.hidden"),
        ("if k > 1:", "if k > 0:"),
        ("path.transition(many, 1.0, rng), rng, progress), (chains, n)", "many, rng), (chains, n)"),
        ("(chains, n))", "(n, chains)).T"),
    ]),
}  # fmt: skip
