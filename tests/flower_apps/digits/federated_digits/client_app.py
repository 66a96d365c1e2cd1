"""A client trains on its own digits."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from sklearn.metrics import log_loss

from federated_digits.task import get_weights, load_data, make_model, set_weights

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train for a few epochs."""
    model = make_model()
    set_weights(model, message.content["arrays"].to_numpy_ndarrays())
    (images, labels), _ = load_data(context.node_config["partition-id"], context.node_config["num-partitions"])
    for _ in range(context.run_config["local.epochs"]):
        model.partial_fit(images, labels, classes=model.classes_)
    metrics = MetricRecord({"accuracy": model.score(images, labels), "num-examples": len(labels)})
    content = RecordDict({"arrays": ArrayRecord(get_weights(model)), "metrics": metrics})
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the model on digits it was not trained with."""
    model = make_model()
    set_weights(model, message.content["arrays"].to_numpy_ndarrays())
    _, (images, labels) = load_data(context.node_config["partition-id"], context.node_config["num-partitions"])
    loss = log_loss(labels, model.predict_proba(images), labels=model.classes_)
    metrics = MetricRecord({"loss": loss, "accuracy": model.score(images, labels), "num-examples": len(labels)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
