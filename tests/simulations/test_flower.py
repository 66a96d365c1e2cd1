"""Other people's Flower apps on our grids."""

import json
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from flower_projects import DIGITS, FAILING, HEAD, TRAIN, local, new_app, write

from protocol.errors import RunFailed
from simulations.flower.apps import TallyGrid, on_grid, run


@pytest.fixture
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return new_app(tmp_path, request.node.name)


def result(directory: Path) -> str:
    return (directory / "result").read_text()


def digits(path: Path, *settings: str, nodes: int = 10, seed: int = 7) -> dict[str, bytes]:
    local(DIGITS, nodes, f'result="{path}"', *settings, seed=seed)
    with np.load(path) as saved:
        assert np.isfinite(saved["loss"]).all()
        return {name: saved[name].tobytes() for name in saved}


class TestFedAvgOnDigits:
    def test_it_learns(self, tmp_path: Path) -> None:
        done = local(DIGITS, 10, f'result="{tmp_path / "r.npz"}" num-server-rounds=4')
        with np.load(tmp_path / "r.npz") as saved:
            assert saved["accuracy"][-1] > 0.8
            assert len(saved["loss"]) == 4
        assert [(e.message_type, e.rounds, e.messages, e.failures) for e in done.exchanges] == [
            ("train", 4, 40, 0),
            ("evaluate", 4, 40, 0),
        ]

    def test_the_same_seed_gives_the_same_run_and_another_one_another(self, tmp_path: Path) -> None:
        few = "fraction-train=0.3 num-server-rounds=2"
        first, again, other = (digits(tmp_path / "r.npz", few, seed=seed) for seed in (1, 1, 2))
        assert first == again
        assert first["coefficients"] != other["coefficients"]

    def test_nested_keys_and_toml_files_are_overrides_too(self, tmp_path: Path) -> None:
        (tmp_path / "more.toml").write_text(f'result = "{tmp_path / "a.npz"}"\n[local]\nepochs = 1\n')
        local(DIGITS, 3, str(tmp_path / "more.toml"))
        with np.load(tmp_path / "a.npz") as saved:
            hurried = saved["coefficients"].tobytes()
        assert hurried == digits(tmp_path / "b.npz", "local.epochs=1", nodes=3)["coefficients"]
        assert hurried != digits(tmp_path / "b.npz", nodes=3)["coefficients"]


STRATEGY = """
from flwr.serverapp import strategy
app = ServerApp()

@app.main()
def main(grid, context):
    name, initial = context.run_config["strategy"], ArrayRecord([np.ones(5)])
    if name == "DifferentialPrivacyServerSideFixedClipping":
        chosen = strategy.DifferentialPrivacyServerSideFixedClipping(
            strategy.FedAvg(fraction_train=0.75), noise_multiplier=0.5, clipping_norm=1.0, num_sampled_clients=3)
    else:
        chosen = getattr(strategy, name)(fraction_train=0.75)
    done = chosen.start(grid, initial, num_rounds=2)
    open(context.run_config["result"], "w").write(str(done.arrays.to_numpy_ndarrays()[0].tolist()))
"""
NOISY = """
from flwr.clientapp.mod import LocalDpMod
app = ClientApp()

@app.train(mods=[LocalDpMod(clipping_norm=1.0, sensitivity=0.1, epsilon=1.0, delta=0.1)])
def train(message, context):
    weights = message.content["arrays"].to_numpy_ndarrays()[0]
    moved = weights * 0.5 + random.random()
    metrics = MetricRecord({"num-examples": context.node_config["partition-id"] + 1})
    return Message(RecordDict({"arrays": ArrayRecord([moved]), "metrics": metrics}), reply_to=message)

@app.evaluate()
def evaluate(message, context):
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1, "loss": 0.5})}), reply_to=message)
"""


@pytest.mark.parametrize(
    "strategy",
    ["FedAvg", "FedAdam", "FedMedian", "FedProx", "Krum", "DifferentialPrivacyServerSideFixedClipping"],
)
def test_flowers_strategies_run_and_repeat_though_they_draw_from_global_generators(app: Path, strategy: str) -> None:
    write(app, NOISY, STRATEGY, 'strategy = "FedAvg"')
    results = []
    for seed in (3, 3, 4):
        local(app, 8, f'strategy="{strategy}"', seed=seed)
        results.append(result(app))
    assert results[0] == results[1] != results[2]


@pytest.mark.slow
def test_what_a_node_draws_depends_on_nothing_but_the_seed_the_node_and_its_calls(app: Path) -> None:
    draw = """
    import torch
    app = ClientApp()

    @app.query()
    def query(message, context):
        assert not context.state, "the app sees its own state only"
        drawn = [random.random(), float(np.random.random()), float(torch.rand(1))]
        return Message(RecordDict({"drawn": ConfigRecord({"values": drawn})}), reply_to=message)
    """
    ask = """
    import json
    app = ServerApp()

    @app.main()
    def main(grid, context):
        nodes, drawn = list(grid.get_node_ids()), {}
        for asked in json.loads(context.run_config["order"]):
            messages = [Message(RecordDict(), nodes[index], "query") for index in asked]
            for reply in grid.send_and_receive(messages):
                drawn.setdefault(reply.metadata.src_node_id, []).append(reply.content["drawn"]["values"])
        open(context.run_config["result"], "w").write(json.dumps(drawn, sort_keys=True))
    """
    write(app, draw, ask, 'order = ""')
    drawn = []
    for grid, order in [
        ("local", "[[0, 1, 2], [2, 1, 0]]"),
        ("local", "[[2], [0], [1, 0], [1, 2]]"),
        ("ray", "[[2], [0, 1], [0, 1, 2]]"),
    ]:
        run(app, on_grid(grid, workers=2), 3, [f"order='{order}'"])
        drawn.append(json.loads(result(app)))
    assert drawn[0] == drawn[1] == drawn[2]
    values = [value for calls in drawn[0].values() for call in calls for value in call]
    assert len(set(values)) == 3 * 2 * 3


def test_mods_named_queries_and_replies_that_are_pulled(app: Path) -> None:
    client = """
    def double(message, context, call_next):
        reply = call_next(message, context)
        reply.content["answer"]["value"] *= 2
        return reply

    app = ClientApp(mods=[double])

    @app.query("square", mods=[double])
    def square(message, context):
        value = message.content["question"]["value"] ** 2
        context.state["seen"] = ConfigRecord({"value": value})
        return Message(RecordDict({"answer": ConfigRecord({"value": value})}), reply_to=message)
    """
    server = """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        question = RecordDict({"question": ConfigRecord({"value": 3})})
        waiting = set(grid.push_messages([Message(question, node, "query.square") for node in grid.get_node_ids()]))
        values = []
        while waiting:
            for reply in grid.pull_messages(waiting):
                waiting.remove(reply.metadata.reply_to_message_id)
                values.append(reply.content["answer"]["value"])
        open(context.run_config["result"], "w").write(str(values))
    """
    write(app, client, server)
    done = local(app, 5)
    assert result(app) == str([36] * 5)
    assert [(e.message_type, e.rounds, e.messages) for e in done.exchanges] == [("query.square", 1, 5)]


def test_apps_in_flowers_older_style(app: Path) -> None:
    client = """
    from flwr.client import NumPyClient

    class Client(NumPyClient):
        def __init__(self, partition):
            self.partition = partition

        def fit(self, parameters, config):
            if self.partition == 1:
                raise RuntimeError("no battery")
            return [parameters[0] + self.partition], self.partition + 1, {}

        def evaluate(self, parameters, config):
            return float(parameters[0].sum()), 1, {}

    def client_fn(context):
        return Client(context.node_config["partition-id"]).to_client()

    app = ClientApp(client_fn=client_fn)
    """
    server = """
    from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server import ServerAppComponents, ServerConfig
    from flwr.server.strategy import FedAvg

    class Saving(FedAvg):
        path = None

        def aggregate_fit(self, server_round, results, failures):
            parameters, metrics = super().aggregate_fit(server_round, results, failures)
            open(self.path, "w").write(str(parameters_to_ndarrays(parameters)[0].tolist()))
            return parameters, metrics

    def server_fn(context):
        strategy = Saving(initial_parameters=ndarrays_to_parameters([np.zeros(2)]), min_available_clients=4)
        strategy.path = context.run_config["result"]
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=2))

    app = ServerApp(server_fn=server_fn)
    """
    write(app, client, server)
    done = local(app, 4)
    # nodes 0, 2 and 3 add 0, 2 and 3, weighted by 1, 3 and 4, in each of two rounds
    assert json.loads(result(app)) == pytest.approx([2 * (2 * 3 + 3 * 4) / 8] * 2)
    assert [(e.message_type, e.rounds, e.messages, e.failures) for e in done.exchanges] == [
        ("train", 2, 8, 2),
        ("evaluate", 2, 8, 0),
    ]
    assert [failure.reason for failure in done.failures] == ["RuntimeError: no battery"] * 2


def test_a_client_that_raises_is_a_failed_node_with_its_traceback(app: Path) -> None:
    write(app, FAILING, TRAIN, "wanted = 2")
    done = local(app, 4)
    assert [(e.messages, e.failures) for e in done.exchanges] == [(8, 2)]
    assert [(failure.partition, failure.message_type) for failure in done.failures] == [(2, "train")] * 2
    assert {failure.reason for failure in done.failures} == {"ValueError: no such picture"}
    assert "client.py" in done.failures[0].traceback


def test_waiting_for_nodes_that_will_never_come_ends(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TallyGrid, "PATIENCE", 1)
    write(app, FAILING, TRAIN, "wanted = 2")
    with pytest.raises(RunFailed, match="more nodes than the 4 there are: raise --nodes"):
        local(app, 4, "wanted=5")


def test_a_server_app_that_raises_ends_the_run(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(app, server="app = ServerApp()\n@app.main()\ndef main(grid, context):\n    {}['x']\n")
    with pytest.raises(RunFailed, match="the ServerApp of mine raised KeyError: 'x'"):
        local(app)
    assert "server.py" in capsys.readouterr().err


OWN = ("strategies", "protocol", "parties", "simulations", "deploy", "parley")
OWN_CLIENT = """
import importlib, pickle, deploy, parley, parties, protocol, simulations, strategies.deep.nets as nets
app = ClientApp()

@app.query()
def query(message, context):
    import strategies.late
    assert importlib.import_module("strategies.deep.nets") is nets
    values = [module.value for module in (deploy, parley, parties, protocol, simulations, strategies)]
    net = pickle.dumps(nets.Net(2.0))
    return Message(RecordDict({"answer": ConfigRecord({"values": values, "net": net})}), reply_to=message)
"""
OWN_SERVER = """
import pickle
from strategies.deep.nets import Net
from protocol import value
app = ServerApp()

@app.main()
def main(grid, context):
    replies = list(grid.send_and_receive([Message(RecordDict(), n, "query") for n in grid.get_node_ids()]))
    assert all(type(pickle.loads(reply.content["answer"]["net"])) is Net for reply in replies)
    told = {tuple(reply.content["answer"]["values"]) for reply in replies}
    open(context.run_config["result"], "w").write(str(len(replies)) + value + str(told))
"""


@pytest.mark.parametrize("grid", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_packages_of_an_app_that_are_called_like_ours_are_its_own(app: Path, grid: Literal["local", "ray"]) -> None:
    for name in OWN:
        (app / name).mkdir()
        (app / name / "__init__.py").write_text(f"value = '{name} of mine'")
    (app / "strategies" / "deep").mkdir()
    (app / "strategies" / "late.py").touch()
    (app / "strategies" / "deep" / "nets.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Net:\n    w: float\n"
    )
    (app / "strategies" / "server.py").write_text(HEAD + OWN_SERVER)
    (app / "parties" / "client.py").write_text(HEAD + OWN_CLIENT)
    write(app, components='serverapp = "strategies.server:app"\nclientapp = "parties.client:app"\n')
    path, ours = list(sys.path), {name: sys.modules[name] for name in OWN if name in sys.modules}
    done = run(app, on_grid(grid), 3)
    assert result(app).startswith("3protocol of mine{('deploy of mine', 'parley of mine', 'parties of mine'")
    assert not done.failures
    assert sys.path == path
    assert {name: sys.modules[name] for name in ours} == ours


def test_generators_without_a_seed_follow_from_ours_and_what_does_not_is_named(app: Path) -> None:
    client = """
    import torch, uuid
    app = ClientApp()

    @app.query()
    def query(message, context):
        np.random.seed(), random.seed(), torch.seed(), uuid.uuid4()
        drawn = [np.random.default_rng().random(), random.Random().random(), np.random.RandomState().random()]
        drawn += [np.random.random(), random.random(), float(torch.rand(1))]
        record = ConfigRecord({"values": [float(value) for value in drawn]})
        return Message(RecordDict({"drawn": record}), reply_to=message)
    """
    server = """
    app = ServerApp()

    @app.main()
    def main(grid, context):
        replies = list(grid.send_and_receive([Message(RecordDict(), n, "query") for n in grid.get_node_ids()]))
        assert all(set(reply.content) == {"drawn"} for reply in replies)
        open(context.run_config["result"], "w").write(str([reply.content["drawn"]["values"] for reply in replies]))
    """
    write(app, client, server)
    results = []
    for seed in (1, 1, 2):
        done = local(app, 2, seed=seed)
        assert done.unseeded == [f"{app.name}/client.py, line 12"]
        results.append(json.loads(result(app)))
    assert results[0] == results[1]
    assert len({value for drawn in (results[0], results[2]) for node in drawn for value in node}) == 2 * 2 * 6


def test_who_is_late_is_a_failed_node(app: Path) -> None:
    client = """
    import threading
    app = ClientApp()

    @app.query()
    def query(message, context):
        if context.node_config["partition-id"] == 0:
            threading.Event().wait()
        return Message(RecordDict(), reply_to=message)
    """
    server = """
    app = ServerApp()

    @app.main()
    def main(grid, context):
        messages = [Message(RecordDict(), n, "query") for n in grid.get_node_ids()]
        replies = list(grid.send_and_receive(messages, timeout=0.5))
        open(context.run_config["result"], "w").write(str([reply.metadata.src_node_id for reply in replies]))
    """
    write(app, client, server)
    done = local(app, 3)
    assert result(app) == "[3, 4]"
    assert [(failure.partition, failure.reason) for failure in done.failures] == [(0, "no answer within 0.5 s")]
