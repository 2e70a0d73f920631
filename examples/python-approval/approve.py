#!/usr/bin/env python3
"""Asks a person about each request, and takes the question back when nobody waits for the answer any more."""

import argparse
import json
import select
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer

from feedback import Feedback


class Approvals:
    def __init__(self, options: argparse.Namespace):
        self._options = options
        self._feedback = Feedback(options.kafka, options.outcomes)
        self._producer = Producer({"bootstrap.servers": options.kafka, "acks": "all", "enable.idempotence": True})
        self._consumer = Consumer({"bootstrap.servers": options.kafka, "group.id": options.group,
                                   "auto.offset.reset": "earliest", "enable.auto.offset.store": False})
        self._consumer.subscribe([options.requests])
        self._inbox: list = []

    def run(self) -> None:
        while True:
            self._receive(1)
            while self._inbox:
                message = self._inbox.pop(0)
                self._ask(message, json.loads(message.value()))
                # Only now: if this process dies while a person thinks, the request comes again.
                self._consumer.store_offsets(message)
            self._consumer.resume(self._consumer.assignment())

    def _receive(self, timeout: float) -> None:
        for message in self._consumer.consume(1, timeout):
            if message.error():
                raise KafkaException(message.error())
            self._inbox.append(message)

    def _ask(self, message, request: dict) -> None:
        print(f"\n{request['activity']['workflow_id']} asks: {json.dumps(request['input'])}\napprove? [y/n] ", end="", flush=True)
        began = time.monotonic()
        beat = self._beat(request)
        due = began
        while (answer := self._answer(began)) is None:
            # A person takes longer than a consumer may be silent: it goes on polling, and gets nothing new.
            self._consumer.pause(self._consumer.assignment())
            self._receive(0.2)
            if time.monotonic() >= due:
                self._reply(message, request, action="heartbeat")
                due = time.monotonic() + beat
            if (news := self._feedback.of(request["activity"])) is not None:
                print(f"\nno longer wanted: {news}", flush=True)
                if news == "cancel":
                    self._reply(message, request, action="cancel", details={"by": "feedback"})
                return
        if answer:
            self._reply(message, request, result={"approved": True})
        else:
            self._reply(message, request, failure={"reason": "Refused", "details": {"asked": request["input"]}})

    def _beat(self, request: dict) -> float:
        """Seconds between heartbeats: well within their timeout, and often enough to hear of a cancellation."""
        timeout = request.get("heartbeat_timeout_seconds")
        return min(self._options.beat, timeout / 3) if timeout else self._options.beat

    def _answer(self, began: float) -> bool | None:
        if self._options.answer == "ask":
            if select.select([sys.stdin], [], [], 0)[0]:
                return sys.stdin.readline().strip().lower() in ("y", "yes")
        elif self._options.answer != "wait" and time.monotonic() - began >= self._options.think:
            return self._options.answer == "yes"
        return None

    def _reply(self, message, request: dict, **answer) -> None:
        value = json.dumps({"task_token": request["task_token"], **answer})
        # The request's key: replies to one activity stay in order. It is on its way before the request is done with.
        self._producer.produce(request.get("reply_to", self._options.replies), value, message.key(), on_delivery=_delivered)
        if self._producer.flush(30):
            sys.exit("a reply could not be delivered within 30 s")


def _delivered(fault, _message) -> None:
    if fault is not None:
        sys.exit(f"reply not delivered: {fault}")


def main() -> None:
    p = argparse.ArgumentParser(description="Asks a person about each request.")
    p.add_argument("--kafka", default="localhost:9092")
    p.add_argument("--group", default="approvals")
    p.add_argument("--requests", default="activity-requests")
    p.add_argument("--replies", default="activity-replies", help="where to answer requests that name no topic")
    p.add_argument("--outcomes", default="activity-outcomes")
    p.add_argument("--beat", type=float, default=10, help="longest pause between heartbeats in seconds")
    p.add_argument("--answer", choices=("ask", "yes", "no", "wait"), default="ask", help="without a terminal: answer by itself, or never")
    p.add_argument("--think", type=float, default=1, help="seconds until it answers by itself")
    try:
        Approvals(p.parse_args()).run()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
