"""A reader of captures, for developers: what is in the datagrams between two nodes, given the keys.

Written from `docs/wire-format.md` alone and sharing no code with the engine, so that agreement of the two
means something. `layers` has the frames as scapy layers, `parse` the rules of what is accepted, `keys` opens
seals with an engine's key log, `noise` reads an init with the private key of its receiver, `capture` walks a
pcap. The daemon imports none of it.
"""
