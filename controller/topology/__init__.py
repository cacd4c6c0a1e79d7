"""The mesh as measured: which nodes there are, and what each reported of its links to the others, by recency.

`links` holds the samples, `export` draws them as a networkx graph. What is to be expected of a link is
`controller.prediction`'s affair. Pure.
"""
