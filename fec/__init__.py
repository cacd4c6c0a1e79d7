"""The mathematics of repair, written to be read.

Here: the field (`field`), linear systems over it (`linear`), the mother code in block and sliding-window use
(`code`), loss models (`loss`), the policy that turns estimates into redundancy (`policy`) and the vectors
that tie the Rust codec of `engine/fec` to this one (`vectors`). Not here: sockets, clocks, sources of
randomness, anything that runs per packet. Callers: whoever solves the repair tables
(`policy`), the tests and the benchmarks. Needs numpy. Pure.
"""
