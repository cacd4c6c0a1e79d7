"""How a host becomes a node: tokens, the certificate authority, ids and addresses, signed records,
revocation.

Pure: time and entropy are handed in, rows come from and go to `controller.store` by the caller's hand.
"""
