"""A site's policy around Flower apps of anybody's: plain updates, budgets, and Flower's own secure sums."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.compat.common.recorddict_compat import fitres_to_recorddict

from parties.policy import policy
from protocol.errors import BadKit
from protocol.flower import FIRST_NODE_ID, new_message, task_identity
from protocol.grids import LocalGrid

PRIVATE = "app: {epsilon: 0.5}\n"
SUMS = "federate: {ways: [sum]}\n"


@pytest.fixture
def site(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "policy.yaml").write_text(text)
        return tmp_path / "policy.yaml"

    return write


def foreign(path: Path, *mods: Any) -> ClientApp:
    """An app that knows nothing of Parley, with the one line that makes it obey the site."""
    app = ClientApp(mods=[policy(path), *mods])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        if mods:
            done = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([np.full(3, 0.5)]), 10, {})
            return Message(fitres_to_recorddict(done, keep_input=False), reply_to=message)
        metrics = MetricRecord({"num-examples": 10})
        return Message(RecordDict({"arrays": ArrayRecord([np.ones(3)]), "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        leaks = "leak" in message.content
        told: dict[str, Any] = {"arrays": ArrayRecord([np.ones(3)])} if leaks else {"m": MetricRecord({"loss": 0.5})}
        return Message(RecordDict(told), reply_to=message)

    @app.query()
    def query(message: Message, context: Context) -> Message:
        return Message(RecordDict({"config": ConfigRecord({"secret": 1})}), reply_to=message)

    return app


def ask(grid: LocalGrid, kind: str, content: RecordDict | None = None, node: int = FIRST_NODE_ID) -> RecordDict | str:
    message = new_message(content or RecordDict(), run_id=1, message_type=kind, dst_node_id=node)
    (reply,) = grid.send_and_receive([message])
    return str(reply.error.reason).strip().splitlines()[-1] if reply.has_error() else reply.content


def test_by_default_nothing_leaves_but_metrics(site: Callable[[str], Path]) -> None:
    grid = LocalGrid([foreign(site(""))])
    assert ask(grid, "train") == (
        "protocol.errors.PolicyRefusal: an update was asked for outside of a secure sum, and this site sends it by sum"
    )
    assert isinstance(ask(grid, "evaluate"), RecordDict)
    assert "query was asked for, and this site answers train or evaluate" in str(ask(grid, "query"))
    assert "answers evaluate with arrays" in str(ask(grid, "evaluate", RecordDict({"leak": ConfigRecord()})))


def test_plain_updates_are_sent_where_the_site_says_so_and_counted(site: Callable[[str], Path]) -> None:
    grid = LocalGrid([foreign(site("federate: {ways: [plain], rounds: 2}"))])
    said = [ask(grid, "train") for _ in range(3)]
    assert [isinstance(each, RecordDict) for each in said] == [True, True, False]
    assert "2 rounds of training were answered, and 2 are allowed" in str(said[2])


def test_each_answer_costs_its_epsilon_until_the_budget_is_spent_also_after_a_restart(
    site: Callable[[str], Path],
) -> None:
    path = site(PRIVATE)
    said = [ask(LocalGrid([foreign(path)]), "train") for _ in range(9)]
    assert [isinstance(each, RecordDict) for each in said] == [True] * 8 + [False]
    assert "train, answered by private at epsilon 0.5 would bring the epsilon of an image from 4 to 4.5" in str(said[8])


def test_nodes_of_a_simulation_have_budgets_of_their_own(site: Callable[[str], Path]) -> None:
    path = site("app: {epsilon: 4}\n")
    grid = LocalGrid([foreign(path), foreign(path)])
    for node in (FIRST_NODE_ID, FIRST_NODE_ID + 1):
        assert isinstance(ask(grid, "train", node=node), RecordDict)
        assert isinstance(ask(grid, "train", node=node), str)
    assert sorted(each.name for each in path.parent.glob("privacy*.sqlite")) == ["privacy-0.sqlite", "privacy-1.sqlite"]


def staged(stage: str, **told: Any) -> RecordDict:
    return RecordDict({RECORD_KEY_CONFIGS: ConfigRecord({Key.STAGE: stage, **told})})


def summed(grid: LocalGrid, clients: int) -> list[RecordDict | str]:
    """Flower's SecAgg+, up to the masked vectors, as its server leads it."""
    nodes = [FIRST_NODE_ID + number for number in range(clients)]
    setup = {
        Key.SAMPLE_NUMBER: clients, Key.SHARE_NUMBER: clients, Key.THRESHOLD: 2, Key.CLIPPING_RANGE: 8.0,
        Key.TARGET_RANGE: 1 << 22, Key.MOD_RANGE: 1 << 32, Key.MAX_WEIGHT: 1000.0,
    }  # fmt: skip
    keys = [ask(grid, "train", staged(Stage.SETUP, **setup), node) for node in nodes]
    if any(isinstance(each, str) for each in keys):
        return keys
    told = {
        str(node): [each[RECORD_KEY_CONFIGS][Key.PUBLIC_KEY_1], each[RECORD_KEY_CONFIGS][Key.PUBLIC_KEY_2]]  # type: ignore[index]
        for node, each in zip(nodes, keys, strict=True)
    }
    shares = [ask(grid, "train", staged(Stage.SHARE_KEYS, **told), node) for node in nodes]
    inbox: dict[int, tuple[list[int], list[bytes]]] = {node: ([], []) for node in nodes}
    for source, each in zip(nodes, shares, strict=True):
        configs: Any = each[RECORD_KEY_CONFIGS]  # type: ignore[index]
        for target, sealed in zip(configs[Key.DESTINATION_LIST], configs[Key.CIPHERTEXT_LIST], strict=True):
            inbox[target][0].append(source)
            inbox[target][1].append(sealed)
    calls = [
        staged(Stage.COLLECT_MASKED_VECTORS, **{Key.SOURCE_LIST: inbox[node][0], Key.CIPHERTEXT_LIST: inbox[node][1]})
        for node in nodes
    ]
    return [ask(grid, "train", call, node) for call, node in zip(calls, nodes, strict=True)]


def test_updates_leave_through_flowers_secure_sums_and_not_beside_them(site: Callable[[str], Path]) -> None:
    path = site(SUMS)
    with LocalGrid([foreign(path, secaggplus_mod) for _ in range(3)]) as grid, task_identity(1):
        answers = summed(grid, 3)
        assert all(isinstance(each, RecordDict) for each in answers), answers
        assert not any(len(record) for each in answers for record in each.array_records.values())  # type: ignore[union-attr]
        assert "outside of a secure sum, and this site sends it by sum" in str(ask(grid, "train"))


def test_a_sum_of_too_few_is_refused(site: Callable[[str], Path]) -> None:
    path = site(SUMS)
    with LocalGrid([foreign(path, secaggplus_mod) for _ in range(2)]) as grid, task_identity(1):
        assert "a secure sum of 2 clients was asked for, and 3 are the fewest" in str(summed(grid, 2)[0])
        pretended = staged(Stage.SHARE_KEYS, **{str(node): [b"1", b"2"] for node in (2, 3)})
        assert "a secure sum of 2 clients was asked for" in str(ask(grid, "train", pretended))


def test_an_app_without_flowers_mod_does_not_answer_a_sum_in_the_plain(site: Callable[[str], Path]) -> None:
    """A server may say that it sums, to an app that does not know how."""
    grid = LocalGrid([foreign(site(SUMS))])
    call = staged(Stage.COLLECT_MASKED_VECTORS, **{Key.SOURCE_LIST: [3], Key.CIPHERTEXT_LIST: [b"x"]})
    assert "answers a secure sum in the plain" in str(ask(grid, "train", call))


def test_the_mod_travels_and_a_missing_policy_is_an_error(site: Callable[[str], Path], tmp_path: Path) -> None:
    mod = pickle.loads(pickle.dumps(policy(site(PRIVATE))))
    assert mod.policy.app.epsilon == 0.5
    with pytest.raises(BadKit, match=r"there is no policy .*without one this site answers nothing"):
        policy(tmp_path / "nowhere.yaml")
