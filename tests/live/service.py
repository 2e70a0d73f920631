#!/usr/bin/env python3
"""A service that answers Cadence activities over Kafka, with nothing but a Kafka client.

It does what a request's input says. Input: {"reply_to": ..., "attempts": [[step, ...], ...], "on_cancel": [step, ...]}.
`attempts` holds the steps for each attempt of the activity (the last entry serves all later ones; none: say nothing).
`on_cancel` holds what to do once an outcome says that the workflow wants the activity to stop; steps not yet done are
dropped then. A step:

  after         seconds to wait before it, counted from the step before (default 0)
  reply         fields of the JSON envelope; the target is added
  result_text   instead of `reply`: a completion whose result is this JSON text, byte for byte
  value_base64  instead of `reply`: header mode, these bytes are the payload; kafka_correlationId is echoed
  event         instead of `reply`: a CloudEvent, written by its SDK. {"mode": "binary" or "structured", "action": ...,
                "attributes": more attributes, "data": JSON, or "data_base64": bytes}
  headers       more headers
  target        "token" (default) or "id" (workflow, run and activity id, no attempt)
  times         do the step so often (default 1)
"""

import argparse
import base64
import heapq
import json
import signal
import sys
import time

from cloudevents.core.bindings.kafka import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, KafkaException, Producer


class Service:
    def __init__(self, brokers: str, group: str, requests: list[str], outcomes: list[str]):
        self._requests = set(requests)
        self._consumer = Consumer({"bootstrap.servers": brokers, "group.id": group, "auto.offset.reset": "earliest",
                                   "fetch.wait.max.ms": 20})
        self._consumer.subscribe(requests + outcomes)
        self._producer = Producer({"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": True, "linger.ms": 2})
        self._due: list = []
        self._count = 0
        # Requests that may still be told to stop, by workflow, run and activity.
        self._open: dict[tuple, dict] = {}
        self._dropped: set[int] = set()

    def run(self) -> None:
        stop = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.append(True))
        while not stop:
            for message in self._consumer.consume(200, self._patience()):
                if message.error():
                    raise KafkaException(message.error())
                if message.topic() in self._requests:
                    self._request(message)
                else:
                    self._outcome(message)
            self._act()
            self._producer.poll(0)
        self._producer.flush(10)
        self._consumer.close()

    def _patience(self) -> float:
        return max(0.0, min(0.1, self._due[0][0] - time.monotonic())) if self._due else 0.1

    def _request(self, message) -> None:
        request = json.loads(message.value())
        script = request["input"][0]
        headers = dict(message.headers() or [])
        job = {"request": request, "key": message.key(), "correlation": headers["kafka_correlationId"],
               "reply_to": headers["kafka_replyTopic"].decode(), "number": self._count}
        activity = request["activity"]
        if "on_cancel" in script:
            self._open[(activity["workflow_id"], activity["run_id"], activity["activity_id"])] = job
        attempts = script.get("attempts") or [[]]
        self._plan(job, attempts[min(activity["attempt"], len(attempts) - 1)])

    def _outcome(self, message) -> None:
        outcome = json.loads(message.value())
        if not outcome.get("cancel_requested"):
            return
        activity = outcome["activity"]
        job = self._open.pop((activity["workflow_id"], activity["run_id"], activity["activity_id"]), None)
        if job:
            self._dropped.add(job["number"])
            self._plan({**job, "number": -1}, job["request"]["input"][0]["on_cancel"])

    def _plan(self, job: dict, steps: list) -> None:
        at = time.monotonic()
        for step in steps:
            for _ in range(step.get("times", 1)):
                at += step.get("after", 0)
                self._count += 1
                heapq.heappush(self._due, (at, self._count, job, step))

    def _act(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, job, step = heapq.heappop(self._due)
            if job["number"] not in self._dropped:
                self._answer(job, step)

    def _answer(self, job: dict, step: dict) -> None:
        headers = list(step.get("headers", {}).items())
        if "value_base64" in step:
            headers.append(("kafka_correlationId", job["correlation"]))
            value = base64.b64decode(step["value_base64"])
        elif "event" in step:
            message = self._event(job["request"], step["event"])
            headers += message.headers.items()
            value = message.value
        else:
            target = self._target(job["request"], step.get("target", "token"))
            if "result_text" in step:
                value = (json.dumps(target)[:-1] + ', "result": ' + step["result_text"] + "}").encode()
            else:
                value = json.dumps({**target, **step["reply"]}).encode()
        self._producer.produce(job["reply_to"], value=value, key=job["key"], headers=headers, on_delivery=self._delivered)

    @staticmethod
    def _event(request: dict, said: dict):
        attributes = {"type": f"handback.reply.{said['action']}", "source": "/live/service", "tasktoken": request["task_token"],
                      **said.get("attributes", {})}
        data = base64.b64decode(said["data_base64"]) if "data_base64" in said else said.get("data")
        write = {"binary": to_binary, "structured": to_structured}[said["mode"]]
        return write(CloudEvent(attributes=attributes, data=data), JSONFormat())

    @staticmethod
    def _target(request: dict, kind: str) -> dict:
        if kind == "token":
            return {"task_token": request["task_token"]}
        activity = request["activity"]
        return {"activity": {name: activity[name] for name in ("domain", "workflow_id", "run_id", "activity_id")}}

    @staticmethod
    def _delivered(fault, message) -> None:
        if fault is not None:
            sys.exit(f"reply not delivered: {fault}")


def main() -> None:
    p = argparse.ArgumentParser(description="Answers activities over Kafka as their input says.")
    p.add_argument("--kafka", required=True)
    p.add_argument("--group", default="service")
    p.add_argument("--requests", nargs="+", required=True)
    p.add_argument("--outcomes", nargs="+", default=[])
    a = p.parse_args()
    Service(a.kafka, a.group, a.requests, a.outcomes).run()


if __name__ == "__main__":
    main()
