"""The reference is what the programs say now."""

from tools import reference


def test_the_reference_is_that_of_the_programs() -> None:
    wanted = reference.pages()
    assert {file.name for file in reference.FOLDER.glob("*.md")} == wanted.keys(), "python -m tools.reference"
    for name, text in wanted.items():
        assert (reference.FOLDER / name).read_text("utf-8") == text, f"{name}: python -m tools.reference"


def test_no_line_of_it_is_too_long_to_read() -> None:
    for name, text in reference.pages().items():
        prose = [line for line in text.splitlines() if not line.startswith("|")]
        assert max(map(len, prose)) <= reference.LONGEST_LINE, name


def test_every_command_metric_and_endpoint_is_in_it() -> None:
    pages = reference.pages()
    assert "### overlayctl netcheck" in pages["cli.md"] and "### overlayctl lab up" in pages["cli.md"]
    assert "### overlayd-controller token create" in pages["cli.md"]
    assert "### [[uplink]]" in pages["configuration.md"] and "### [classes.NAME]" in pages["configuration.md"]
    assert "overlayd_link_residual_loss_ratio" in pages["metrics.md"]
    assert "overlayd_controller_decision_seconds" in pages["metrics.md"]
    assert "## GET /v1/explain" in pages["api.md"] and "## DELETE /v1/nodes/{name}" in pages["api.md"]
