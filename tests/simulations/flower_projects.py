"""Flower apps that tests write."""

from pathlib import Path
from textwrap import dedent

from simulations.flower.apps import FlowerRun, on_grid, run

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "tests" / "flower_apps" / "digits"
HEAD = """
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
import random, time, flwr, numpy as np
"""
ECHO = """
app = ClientApp()

@app.query()
def query(message, context):
    return Message(RecordDict({"answer": ConfigRecord(dict(context.node_config))}), reply_to=message)
"""
ASK = """
app = ServerApp()

@app.main()
def main(grid, context):
    open(context.run_config["result"], "w").write("ran")
"""


FAILING = """
app = ClientApp()

@app.train()
def train(message, context):
    if context.node_config["partition-id"] == 2:
        raise ValueError("no such picture")
    metrics = MetricRecord({"num-examples": 1})
    return Message(RecordDict({"arrays": message.content["arrays"], "metrics": metrics}), reply_to=message)
"""
TRAIN = """
from flwr.serverapp.strategy import FedAvg
app = ServerApp()

@app.main()
def main(grid, context):
    strategy = FedAvg(fraction_evaluate=0.0, min_available_nodes=context.run_config["wanted"])
    strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=2)
"""


def new_app(folder: Path, test: str) -> Path:
    """A directory for an app, under a package name that no other test uses."""
    directory = folder / ("app_" + "".join(letter if letter.isalnum() else "_" for letter in test))
    write(directory)
    return directory


def write(directory: Path, client: str = ECHO, server: str = ASK, config: str = "", components: str = "") -> None:
    package = directory / directory.name
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "client.py").write_text(HEAD + dedent(client))
    (package / "server.py").write_text(HEAD + dedent(server))
    both = f'serverapp = "{directory.name}.server:app"\nclientapp = "{directory.name}.client:app"\n'
    (directory / "pyproject.toml").write_text(
        f'[project]\nname = "mine"\nversion = "1"\n[tool.flwr.app]\npublisher = "me"\n'
        f"[tool.flwr.app.components]\n{components or both}[tool.flwr.app.config]\n"
        f'result = "{directory / "result"}"\n{config}\n'
    )


def local(directory: Path, nodes: int = 4, *overrides: str, seed: int = 7) -> FlowerRun:
    return run(directory, on_grid("local"), nodes, overrides, seed)
