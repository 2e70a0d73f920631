"""Writes each case with the Python SDK, in both modes, as JSON to standard output. See make-fixtures."""

import base64
import json
import sys
from datetime import datetime
from importlib.metadata import version

from cloudevents.core.bindings.kafka import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent


def given(case: dict):
    """What the service hands to the SDK."""
    data = case.get("data")
    return base64.b64decode(data["base64"]) if isinstance(data, dict) and "base64" in data else data


def payload(data) -> bytes | None:
    """What the workflow must get of it. The SDK writes JSON as json.dumps does."""
    if data is None or isinstance(data, bytes):
        return data
    return data.encode() if isinstance(data, str) else json.dumps(data).encode()


def text(field: str, content: bytes | None) -> dict:
    if content is None:
        return {field: None}
    try:
        return {field: content.decode()}
    except UnicodeDecodeError:
        return {f"{field}_base64": base64.b64encode(content).decode()}


def main() -> None:
    cases = json.load(sys.stdin)
    fixtures = []
    for case in cases["cases"]:
        extensions = case.get("extensions", {})
        attributes = {"specversion": "1.0", "id": f"python-{case['name']}", "source": cases["source"],
                      "type": f"handback.reply.{case['action']}",
                      "time": datetime.fromisoformat(cases["time"]), **case.get("attributes", {}), **extensions}
        if "datacontenttype" in case:
            attributes["datacontenttype"] = case["datacontenttype"]
        if not case.get("correlation_id"):
            attributes["tasktoken"] = base64.b64encode(cases["task_token"].encode()).decode()
        event = CloudEvent(attributes=attributes, data=given(case))
        for mode, write in (("binary", to_binary), ("structured", to_structured)):
            message = write(event, JSONFormat())
            headers = [[name, value.decode()] for name, value in message.headers.items()]
            if case.get("correlation_id"):
                headers.append(["kafka_correlationId", cases["task_token"]])
            fixtures.append({"sdk": f"Python cloudevents {version('cloudevents')}", "case": case["name"], "mode": mode,
                             "headers": headers, **text("value", message.value or None),
                             "expect": {"action": case["action"], "id": attributes["id"], "source": cases["source"],
                                        **extensions, **text("payload", payload(given(case)))}})
    json.dump(fixtures, sys.stdout)


if __name__ == "__main__":
    main()
