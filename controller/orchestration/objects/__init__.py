"""The resource model: kinds and all that is done to their objects between a request and the store.

A kind is declared once (`kinds`, `schema`); from that follow OpenAPI and CRD manifests (`openapi`, `crd`),
defaults and unknown fields (`structure`), checks (`validation`), ownership of fields (`fields`,
`applying`), tables (`tables`). `lifecycle` puts them in order for create, update and delete. Objects are
JSON values, as they came and as they go: what is told of them is in Kubernetes' words. Time and uids are
handed in. Pure.
"""
