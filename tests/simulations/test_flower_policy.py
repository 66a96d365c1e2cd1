"""A site's policy in other people's Flower apps, as `parley flower` runs them and as Flower itself does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from flower_projects import ROOT, local, new_app, write

CLIENT = """
from parties.policy import policy
app = ClientApp(mods=[policy("{policy}")])

@app.train()
def train(message, context):
    metrics = MetricRecord({{"num-examples": 1}})
    return Message(RecordDict({{"arrays": message.content["arrays"], "metrics": metrics}}), reply_to=message)
"""
SERVER = """
from flwr.serverapp.strategy import FedAvg
app = ServerApp()

@app.main()
def main(grid, context):
    strategy = FedAvg(fraction_evaluate=0.0, min_available_nodes=2, min_train_nodes=2)
    done = strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=4)
    answered = sorted(done.train_metrics_clientapp)
    open(context.run_config["result"], "w").write(str(answered))
"""


@pytest.fixture
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    directory = new_app(tmp_path, request.node.name)
    (tmp_path / "policy.yaml").write_text("app: {epsilon: 1}\nbudgets: {image: 2, person: 2, life: 2}\n")
    write(directory, CLIENT.format(policy=tmp_path / "policy.yaml"), SERVER)
    return directory


def test_an_app_trains_until_its_sites_have_spent_their_budgets(app: Path) -> None:
    done = local(app, 2)
    assert [(each.message_type, each.messages, each.failures) for each in done.exchanges] == [("train", 8, 4)]
    assert "would bring the epsilon of an image from 2 to 3" in done.failures[-1].reason
    assert len(list(app.parent.glob("privacy-*.sqlite"))) == 2


@pytest.mark.slow
def test_so_it_does_in_flowers_own_engine(app: Path) -> None:
    jobs = [{"directory": str(app), "nodes": 2, "run_config": f'result="{app / "result"}"'}]
    command = [sys.executable, ROOT / "tests" / "flower_engine.py", json.dumps(jobs)]
    done = subprocess.run(command, cwd=app, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (app / "result").read_text() == "[1, 2]"
