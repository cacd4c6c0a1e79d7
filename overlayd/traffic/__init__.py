"""Carries the users of one node to the instances of applications, as the node's ``Steering`` says.

TCP and HTTP by HAProxy, UDP by nftables, names by dnsmasq: programs that go on by themselves when this one
ends. `traffic.py` is where to begin. Beside I/O stand pure modules: `listeners`, `configuration`, `servers`,
`counters`, `udp_rules`, `zone`. Run by the node's workload unit through `service`; the mesh runs without it.
"""
