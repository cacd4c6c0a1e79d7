"""The demo of applications: one app over its life on five sites, and the users who count what they get.

`__main__` builds and takes down, `sites` is the lab, `story` what happens, `users` the load (a process of its
own), `serving` the app (stdlib only), `figures` what the users' records say. Called by `make demo-apps`.
"""
