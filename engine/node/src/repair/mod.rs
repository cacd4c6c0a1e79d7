//! Repair of one hop and class: what a sender keeps and adds, what a receiver misses and asks for. Pure.
