"""Load: workflows with many activities each, some answered twice and some contradicted, and their books from three sides.

The sides: what the workflow code saw, the identities in history, and the outcome topic; beside them every commit of the group.
"""

import threading
import uuid
from dataclasses import dataclass, field
from typing import Callable

from .books import equal, source_of, true
from .commits import check_commits, commits_of
from .procs import Failed, wait_for
from .topics import Rec

# One activity in so many is answered twice, and as many are contradicted.
AGAIN = 4
# Workflows under way at a time: what a server on two cores can take.
AT_ONCE = 5


@dataclass
class Counted:
    """What the first outcomes of all replies say."""

    kinds: dict[str, int] = field(default_factory=dict)
    evidence: dict[str, int] = field(default_factory=dict)
    # Outcomes beyond the first of a record.
    repeated: int = 0
    commits: int = 0

    def __str__(self) -> str:
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return (f"{said} ({self.evidence.get('history', 0)} applied known from history, {self.repeated} outcomes written twice, "
                f"{self.commits} commits); lost 0, applied twice 0")


class Fans:
    """`site` is a [`Site`]; `group` the consumer group of the bridges under test; `each` the activities of a workflow."""

    def __init__(self, site, topics: dict, group: str, each: int = 200) -> None:
        self._site, self._topics, self._group, self._each = site, topics, group, each
        self.ids: list[str] = []
        self._lock = threading.Lock()
        self._faults: list[str] = []

    @property
    def activities(self) -> int:
        return len(self.ids) * self._each

    @property
    def replies(self) -> int:
        return sum(1 + (n % AGAIN in (0, 1)) for n in range(self.activities))

    def start(self, more: Callable[[int], bool] = lambda _: True) -> str | None:
        """Starts one more workflow, if `more` says so of how many there are."""
        with self._lock:
            number, workflow = len(self.ids), f"fan-{uuid.uuid4().hex[:8]}"
            if not more(number):
                return None
            self.ids.append(workflow)
        script = self._site.script(topics=self._topics)
        case = {"script": script, "from": number * self._each, "count": self._each, "again": AGAIN}
        self._site.worker.start("Fan", workflow, case, seconds=280)
        return workflow

    def finish(self, workflow: str) -> None:
        """Waits for a workflow; each of its activities must have got its own right answer."""
        equal(f"{workflow}: right answers", self._site.worker.result(workflow, timeout=270), self._each)

    def finish_all(self) -> None:
        self._together(self.ids, self.finish)

    def play(self, more: Callable[[int], bool]) -> None:
        """A few workflows at a time, one after the other, as long as `more` says so of how many there are."""
        def one(_: int) -> None:
            while not self._faults and (workflow := self.start(more)):
                self.finish(workflow)

        self._together(range(AT_ONCE), one)

    def _together(self, items, step: Callable) -> None:
        def one(item) -> None:
            try:
                step(item)
            except Exception as fault:  # noqa: BLE001 - raised below
                self._faults.append(f"{type(fault).__name__}: {fault}")

        threads = [threading.Thread(target=one, args=(item,), daemon=True) for item in items]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if self._faults:
            raise Failed("; ".join(self._faults))

    def wait_outcomes(self, share: float, timeout: float = 120) -> int:
        """Until this share of the replies of all workflows started has an outcome. Returns how many have."""
        count = int(self.replies * share)
        return len(self._site.tail.wait("outcomes", self._topics["outcomes"], lambda r: True, count=count, timeout=timeout))

    def check(self) -> Counted:
        """All books but the workflows' results, which `finish` checks."""
        topic = self._topics["replies"][0]
        replies = self._site.tail.wait("all replies", topic, lambda r: True, count=self.replies, timeout=60)
        equal("replies", len(replies), self.replies)
        wait_for("an outcome for each reply", lambda: len(self._settled()) == len(replies), 120, every=0.5)
        first = self._site.books.complete(self._group, self._topics)
        counted, won = self._check_outcomes(replies, first)
        self._check_some(replies, first)
        for workflow in self.ids:
            self._check_history(workflow, won)
        counted.repeated = len(self._site.tail.all(self._topics["outcomes"])) - len(first)
        commits = commits_of(self._site.kafka.brokers, self._group)
        counted.commits = check_commits([c for c in commits if c.topic == topic], self._safe(first))
        return counted

    def _safe(self, first: dict[tuple, Rec]) -> dict[tuple, Rec]:
        """What lets an offset be committed: the first outcome of its record, or the record's first move to a retry topic."""
        safe = dict(first)
        for moved in (r for topic in self._topics["retry"] for r in self._site.tail.all(topic)):
            name, partition, offset = (moved.header(f"handback-source-{part}") for part in ("topic", "partition", "offset"))
            source = name.decode(), int(partition), int(offset)
            if source in safe and moved.timestamp < safe[source].timestamp:
                safe[source] = moved
        return safe

    def _settled(self) -> set[tuple]:
        topic = self._topics["replies"][0]
        return {source for r in self._site.tail.all(self._topics["outcomes"]) if (source := source_of(r))[0] == topic}

    @staticmethod
    def _check_outcomes(replies: list[Rec], first: dict[tuple, Rec]) -> tuple[Counted, dict[str, str]]:
        """The first answer of an activity is applied, the same again a duplicate, another one a conflict. Also who won."""
        counted = Counted()
        won: dict[str, str] = {}
        answered: dict[str, Rec] = {}
        for reply in sorted(replies, key=lambda r: (r.partition, r.offset)):
            outcome = first[reply.source].json
            before = answered.setdefault(reply.json["task_token"], reply)
            same = reply.json["result"] == before.json["result"]
            want = "applied" if before is reply else "duplicate" if same else "conflict"
            equal(f"first outcome of {reply.source} ({outcome['detail']})", outcome["outcome"], want)
            counted.kinds[want] = counted.kinds.get(want, 0) + 1
            if want == "applied":
                counted.evidence[outcome["evidence"]] = counted.evidence.get(outcome["evidence"], 0) + 1
                activity = outcome["activity"]
                place = f"{activity['workflow_id']}/{activity['schedule_id']}"
                won[place] = f"{'/'.join(map(str, reply.source))}/{outcome['fingerprint']}"
        return counted, won

    def _check_some(self, replies: list[Rec], first: dict[tuple, Rec]) -> None:
        """Every byte of some outcomes and dead letters of each kind."""
        for want in ("applied", "duplicate", "conflict"):
            for reply in [r for r in replies if first[r.source].json["outcome"] == want][:50]:
                outcome = first[reply.source].json
                self._site.books.check(reply, want, "complete", topics=self._topics, token=reply.json["task_token"],
                                       evidence=outcome["evidence"], called=outcome["attempts"] > 0, named=False)

    def _check_history(self, workflow: str, won: dict[str, str]) -> None:
        """Each activity was completed once, by the reply that the outcomes say has won."""
        done = self._site.worker.events(workflow, "ActivityTaskCompleted")
        equal(f"{workflow}: completions in history", len(done), self._each)
        for event in done:
            place = f"{workflow}/{event['scheduledEventId']}"
            true(f"{place}: history names the reply that won", event["identity"].endswith(won[place]), (event["identity"], won[place]))
