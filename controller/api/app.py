"""Slice."""

from fastapi import FastAPI


def create_app(service):
    app = FastAPI()

    @app.get("/healthz")
    def healthz():
        return {"status": "ok"}

    return app
