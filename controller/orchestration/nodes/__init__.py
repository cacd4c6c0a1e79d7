"""The nodes that run applications, as their channels tell: who is connected, what each says it offers. Pure.

Objects of nodes are made of it by `serving.mirror`; what follows from a node's silence is decided in
`control`.
"""
