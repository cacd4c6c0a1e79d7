"""What to expect of each link over the next minutes, as a distribution rather than a point. Pure.

`predictor` makes `forecast.Forecast` from the samples of `controller.topology`.
"""
