"""The controller's mind as one state machine: what happened and when goes in, what to send and to keep
comes out.

`messages` defines both sides, `controller` is the machine, `publication` knows what each agent holds.
The live shell is `controller.server`; the simulator drives the same machine in virtual time. Pure.
"""
