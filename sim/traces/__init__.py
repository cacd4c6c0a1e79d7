"""Traces of meshes that never were: measured RTTs under simulated congestion, loss and failures. Pure but for
`sources`, which reads measured data.

`world` draws a mesh from `sources` by `parameters`; `oracle` is the planner that knows its hidden state;
`python -m sim.traces` writes a trace for `controller.evaluate`. All loss is simulated.
"""
