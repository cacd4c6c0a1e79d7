//! A packet's whole way, in order: ingress, transit, egress. Each stage has a file of its own. Pure.
