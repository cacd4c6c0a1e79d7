"""From a forecast to routes: search the cheapest disjoint paths, change only for good reason, say why. Pure.

`search` finds paths, `table` holds those in force, `plan` decides, `explain` puts decisions into words.
"""
