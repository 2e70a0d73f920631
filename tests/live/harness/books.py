"""The books: every reply has its outcome, every dead letter is the reply byte for byte, offsets follow outcomes.

Checked from the topics themselves with an ordinary Kafka client (docs/wire-contract.md, sections 4 to 6), never from what handback
says about itself.
"""

import re
from datetime import datetime, timezone
from urllib.parse import quote

from .cadence import DOMAIN
from .procs import Failed, wait_for
from .topics import Rec, claims

_FIELDS = ["outcome", "action", "reason", "detail", "evidence", "activity", "idempotency_key", "fingerprint",
           "cancel_requested", "source", "attempts", "received_at", "settled_at", "metadata"]
_ALSO_DEAD = {"not_found", "rejected", "superseded", "timed_out", "workflow_closed", "unknown", "conflict", "exhausted"}
_TOKEN_PRINT = re.compile(rb"[0-9a-f]{12}")
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")


def equal(what: str, got, want) -> None:
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def true(what: str, holds, evidence=None) -> None:
    if not holds:
        raise AssertionError(what if evidence is None else f"{what}: {evidence!r}")


def time_of(text: str) -> datetime:
    true("a time is RFC 3339 in UTC", text.endswith("Z"), text)
    return datetime.fromisoformat(text)


def source_of(outcome: Rec) -> tuple[str, int, int]:
    s = outcome.json["source"]
    return s["topic"], s["partition"], s["offset"]


class Books:
    def __init__(self, stack) -> None:
        self._stack = stack

    def outcome(self, reply: Rec, topics: dict | None = None, timeout: float = 60) -> Rec:
        """The outcome of a reply: the first that names it."""
        topics = topics or self._stack.main
        return self._stack.tail.wait(f"the outcome of {reply.source}", topics["outcomes"],
                                     lambda r: source_of(r) == reply.source, timeout=timeout)[0]

    def none(self, reply: Rec, topics: dict | None = None) -> None:
        """There is no outcome of this reply (a heartbeat without news). Ask once later ones have theirs."""
        topics = topics or self._stack.main
        found = [r.json["outcome"] for r in self._outcomes_of(reply, topics)]
        equal(f"outcomes of the heartbeat {reply.source}", found, [])

    def check(self, reply: Rec, want: str, action: str | None, *, topics: dict | None = None, token: str | None = None,
              by_id: dict | None = None, reason: str | None = None, cancel_requested: bool = False,
              metadata: dict | None = None, event: dict | None = None, evidence: str | None = None, called: bool = True, named: bool = True) -> dict:
        """Waits for a reply's outcome and checks every byte of it, and its dead letter if it must have one.

        `token` is the base64 of the task token when the reply holds it elsewhere than in its envelope. `event` is what the
        CloudEvent that the reply is calls itself. `evidence` is for what
        was applied by another word than the engine's; `called` is false where a look made a call needless,
        `named` where the engine may have been too slow to tell the domain's name, which an outcome does not wait for.
        """
        topics = topics or self._stack.main
        record = self.outcome(reply, topics)
        doc = record.json
        where = f"outcome of {reply.source}"
        equal(f"{where}: fields", list(doc), _FIELDS + (["cloud_event"] if event else []))
        equal(f"{where}: cloud_event", doc.get("cloud_event"), event)
        equal(f"{where}: outcome (detail: {doc['detail']})", doc["outcome"], want)
        equal(f"{where}: action", doc["action"], action)
        equal(f"{where}: reason", doc["reason"], reason if want in ("applied", "rejected") else want)
        equal(f"{where}: evidence", doc["evidence"], evidence or "engine" if want == "applied" else None)
        equal(f"{where}: cancel_requested", doc["cancel_requested"], cancel_requested)
        equal(f"{where}: metadata", doc["metadata"], metadata or {})
        equal(f"{where}: partition", record.partition, reply.partition)
        written = datetime.fromtimestamp(reply.timestamp / 1000, timezone.utc)
        equal(f"{where}: source.timestamp", time_of(doc["source"]["timestamp"]), written)
        true(f"{where}: settled after received", time_of(doc["received_at"]) <= time_of(doc["settled_at"]), doc)
        if want != "rejected":
            true(f"{where}: fingerprint", _FINGERPRINT.fullmatch(doc["fingerprint"] or ""), doc["fingerprint"])
            equal(f"{where}: called the engine", doc["attempts"] >= 1, called)
        self._check_target(where, record, reply, token, by_id, named)
        equal(f"{where}: header handback-outcome", record.header("handback-outcome"), want.encode())
        equal(f"{where}: header handback-source-topic", record.header("handback-source-topic"), reply.topic.encode())
        self._check_dead_letter(reply, doc, topics)
        return doc

    def _check_target(self, where: str, record: Rec, reply: Rec, token: str | None, by_id: dict | None,
                      named: bool) -> None:
        activity = record.json["activity"]
        bare_key = "source:{}/{}/{}".format(*reply.source).encode()
        if token is None and by_id is None:
            equal(f"{where}: key", record.key, bare_key)
            return
        if by_id is not None:
            known = {k: v for k, v in activity.items() if v is not None and k in by_id}
            equal(f"{where}: activity", known, by_id)
            equal(f"{where}: key", record.key, bare_key)
            return
        said = claims(token)
        # The domain's name is looked up only for what the engine accepted.
        domain = DOMAIN if named and record.json["outcome"] == "applied" else activity["domain"]
        true(f"{where}: domain", domain in (None, DOMAIN), domain)
        equal(f"{where}: activity", activity, {
            "domain_id": said["domainId"], "domain": domain, "workflow_id": said["workflowId"], "run_id": said["runId"],
            "schedule_id": said["scheduleId"], "attempt": said["scheduleAttempt"], "activity_id": said["activityId"],
            "activity_type": said["activityType"]})
        parts = (said["domainId"], said["workflowId"], said["runId"], said["scheduleId"], said["scheduleAttempt"])
        equal(f"{where}: key", record.key, "/".join(quote(str(p), safe="") for p in parts).encode())
        equal(f"{where}: header handback-activity-type", record.header("handback-activity-type"), said["activityType"].encode())

    def _check_dead_letter(self, reply: Rec, doc: dict, topics: dict) -> None:
        where = f"dead letter of {reply.source}"
        letters = self.dead_letters_of(reply, topics)
        if doc["outcome"] not in _ALSO_DEAD:
            # A bridge killed between an outcome and its offset leaves the reply to another, whose outcome tells of its own
            # dead letter. A dead letter that no outcome tells of is a fault.
            told = [r.json["outcome"] for r in self._outcomes_of(reply, topics)]
            true(f"{where}: one for each outcome that has one ({told})",
                 len(letters) <= sum(1 for outcome in told if outcome in _ALSO_DEAD), letters)
            return
        # Written and acknowledged before the outcome: it is there, at most not read yet.
        letter = letters[0] if letters else self._stack.tail.wait(
            where, topics["dead_letters"], lambda r: self._is_of(r, reply), timeout=15)[0]
        equal(f"{where}: key", letter.key, reply.key)
        equal(f"{where}: value", letter.value, reply.value)
        equal(f"{where}: partition", letter.partition, reply.partition)
        as_received = len(reply.headers)
        equal(f"{where}: headers as received", letter.headers[:as_received], reply.headers)
        added = letter.headers[as_received:]
        said = dict(added)
        equal(f"{where}: added headers, each once", len(said), len(added))
        names = [n for n, _ in added]
        optional = [n for n in ("engine-status", "token") if f"handback-dlq-{n}" in said]
        equal(f"{where}: added headers", names,
              [f"handback-source-{n}" for n in ("topic", "partition", "offset", "timestamp")]
              + [f"handback-dlq-{n}" for n in ("outcome", "reason", "detail", "attempts", *optional)])
        topic, partition, offset = reply.source
        want = {"source-topic": topic, "source-partition": partition, "source-offset": offset,
                "source-timestamp": doc["source"]["timestamp"], "dlq-outcome": doc["outcome"], "dlq-attempts": doc["attempts"],
                "dlq-reason": doc["reason"] or doc["outcome"]}
        for name, value in want.items():
            equal(f"{where}: handback-{name}", said[f"handback-{name}"], str(value).encode())
        true(f"{where}: detail for people", said["handback-dlq-detail"], added)
        if doc["outcome"] == "not_found":
            equal(f"{where}: engine status", said.get("handback-dlq-engine-status"), b"NOT_FOUND")
        if (print_ := said.get("handback-dlq-token")) is not None:
            true(f"{where}: the token's print is 12 hex digits", _TOKEN_PRINT.fullmatch(print_), print_)
        true(f"{where}: no header of ours holds a token", not any(b"domainId" in v or b"eyJ" in v for _, v in added), added)

    def _outcomes_of(self, reply: Rec, topics: dict) -> list[Rec]:
        return [r for r in self._stack.tail.all(topics["outcomes"]) if source_of(r) == reply.source]

    def dead_letters_of(self, reply: Rec, topics: dict) -> list[Rec]:
        return [r for r in self._stack.tail.all(topics["dead_letters"]) if self._is_of(r, reply)]

    @staticmethod
    def _is_of(letter: Rec, reply: Rec) -> bool:
        last = dict(letter.headers)
        return (last.get("handback-source-topic"), last.get("handback-source-partition"), last.get("handback-source-offset")) \
            == tuple(str(p).encode() for p in reply.source)

    def committed(self, group: str, topics: dict, timeout: float = 30) -> None:
        """The group's committed offsets reach the end of every reply partition that has records."""
        kafka = self._stack.kafka
        for topic in topics["replies"]:
            ends = {p: end for p, end in kafka.ends(topic).items() if end > 0}

            def there(topic=topic, ends=ends) -> bool:
                have = kafka.committed(group, topic)
                return all(have.get(p) == end for p, end in ends.items())

            try:
                wait_for(f"committed offsets of {group}", there, timeout, every=0.2)
            except Failed:
                raise Failed(f"committed offsets of {group} on {topic}: {kafka.committed(group, topic)}, "
                             f"ends: {ends}") from None

    def complete(self, group: str, topics: dict) -> dict[tuple, Rec]:
        """Every record of the reply topics has an outcome, the first per source; returns those.

        Heartbeats are allowed to have none, and no reply has an outcome that names a record which is not there.
        """
        tail = self._stack.tail
        self.committed(group, topics)
        replies = {r.source: r for topic in topics["replies"] for r in self._settled(topic)}
        first: dict[tuple, Rec] = {}
        for record in sorted(tail.all(topics["outcomes"]), key=lambda r: (r.partition, r.offset)):
            first.setdefault(source_of(record), record)
        equal("outcomes of records that do not exist", sorted(set(first) - set(replies)), [])
        missing = [r for s, r in replies.items() if s not in first and not _is_heartbeat(r)]
        equal("replies without an outcome", [r.source for r in missing], [])
        return first

    def _settled(self, topic: str) -> list[Rec]:
        """All records of a topic, once the tail has read to the end that the broker names."""
        ends = self._stack.kafka.ends(topic)
        return self._stack.tail.wait("its end", topic, lambda r: True, count=sum(ends.values()), timeout=30)


def _is_heartbeat(reply: Rec) -> bool:
    event = b"handback.reply.heartbeat"
    try:
        said = reply.json
        return reply.header("ce_type") == event or said.get("action") == "heartbeat" or said.get("type") == event.decode()
    except (ValueError, AttributeError, TypeError):
        return False
