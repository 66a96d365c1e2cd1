"""An app for processes that need nothing else of this project."""

import os

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp


class Counting(ClientApp):
    """Counts its messages in its state, says in which process it is, and leaves when it is told to."""

    def __call__(self, message: Message, context: Context) -> Message:
        if message.metadata.message_type == "query.leave":
            os._exit(1)
        before = context.state.get("count")
        context.state["count"] = ConfigRecord({"n": 1 + (int(str(before["n"])) if before else 0)})
        answer = RecordDict({"here": ConfigRecord({"process": os.getpid(), "node": context.node_id})})
        return Message(answer, reply_to=message)
