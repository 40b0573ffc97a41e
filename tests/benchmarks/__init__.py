"""Speed, measured against peers: `python -m tests.benchmarks`.

A workload module has WORKLOADS = {name: {side: make}}. `make()` builds everything and returns `work`, a function of no
arguments that does the measured work and returns numbers by which the sides are compared. The side "ours" is minigen.
"""
