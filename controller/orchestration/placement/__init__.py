"""Which nodes run an app. Pure.

`wanted` is what an app asks, `world` what there is; `filters` tell where it may not run and by how much it
fails there, `quality` how its users would be served, `demands` what each place would cost it. `choose`
answers for one app, with its reasons; `together` for many that compete for the same nodes: `solve` weighs a
`problem` by prices of nodes' capacity (`prices`), each app's own search (`sites`) and small integer programs
(`whole`).
"""
