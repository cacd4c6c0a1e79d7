"""The demo: ``python -m sim.demo`` tells a running mesh's story in five chapters and measures it.

`story` plays the chapters on a lab of namespaces; `endpoints` are the small programs at the ends of the
traffic; what they write down is read by `records`, weighed by `measure`, judged by `summary` and shown by
`table` and `drawing`. Those last five are pure.
"""
